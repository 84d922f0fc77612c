// Where constant tables lie. On AVR they would be copied to RAM, of which there is little: ECG_FLASH keeps them in flash.
//
//     static const ECG_FLASH int8_t weights[4] = {1, 2, 3, 4};
//     int8_t first(const ECG_FLASH int8_t *from) { return from[0]; }
//
// avr-gcc knows such memory in gnu99 and gnu11, the default of its C; neither C++ nor -std=c99 does: there the macro is
// empty. C++ may hold such pointers and hand them on, and must never read what they point to.
// An array has 32,767 bytes at most, and all of them lie in the first 64 KB of flash: `ecg-edge export` counts.
#ifndef ECG_FLASH_H
#define ECG_FLASH_H

#if defined(__AVR__) && defined(__FLASH) && !defined(__cplusplus) && !defined(__STRICT_ANSI__)
#define ECG_FLASH __flash
#else
#define ECG_FLASH
#endif

#endif
