// Serial replay: the computer streams ECG, the board prepares, classifies and answers.
//
//     ecg-edge bench ecg5 --device /dev/ttyUSB0
//
// The protocol is binary: close the serial monitor first.
#include <ecg_arduino.h>

void setup()
{
    ecg_arduino::begin();   // self-test, then HELLO; a failure is told to the host
}

void loop()
{
    ecg_arduino::receive();
    ecg_arduino::rest();
}
