// Runs the engine of one model over what comes in at UART0, window by window, and sends its scores: no core, no Arduino.
// It says zeros until a byte comes, and that byte: now both sides listen. A status goes before each window's scores.
//
// Built with -DENGINE_HEADER="ecg_model_<name>.h" -DENGINE_MODEL=ecg_model_<name>
//     -DENGINE_SCRATCH_BYTES=ECG_MODEL_<NAME>_SCRATCH_BYTES -DENGINE_INPUT_BYTES=n -DENGINE_CLASSES=n
#include <avr/io.h>

#include ENGINE_HEADER

static uint8_t scratch[ENGINE_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t input[ENGINE_INPUT_BYTES];
static int8_t scores[ENGINE_CLASSES];

static int8_t take(void)
{
    while ((UCSR0A & _BV(RXC0)) == 0u) {
    }
    return (int8_t)UDR0;
}

static void give(int8_t value)
{
    while ((UCSR0A & _BV(UDRE0)) == 0u) {
    }
    UDR0 = (uint8_t)value;
}

int main(void)
{
    UCSR0A = _BV(U2X0);
    UBRR0 = 1u;    // 1 Mbaud at 16 MHz
    UCSR0B = _BV(RXEN0) | _BV(TXEN0);
    while ((UCSR0A & _BV(RXC0)) == 0u) {
        give(0);
    }
    give(take());
    for (;;) {
        for (uint16_t i = 0; i < ENGINE_INPUT_BYTES; i++) {
            input[i] = take();
        }
        const ecg_status_t status = ENGINE_MODEL.run(scratch, input, scores);
        give((int8_t)status);
        for (uint16_t i = 0; i < ENGINE_CLASSES; i++) {
            give(scores[i]);
        }
    }
}
