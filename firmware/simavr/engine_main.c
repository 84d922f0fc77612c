// Runs the engine of one model over what comes in at UART0, and tells what each verdict took: its cycles, by timer 1. No
// core, no Arduino: what costs.py builds. A verdict's answer is its status, its scores and four bytes of cycles.
//
// It says zeros until a byte comes, and that byte: now both sides listen. The byte chooses: 'w', windows by themselves; 's', a
// stream, whose first answer comes behind a window, each further one behind a hop.
//
// Built with -DENGINE_HEADER="ecg_model_<name>.h" -DENGINE_MODEL=ecg_model_<name> -DENGINE_CLASSES=n
//     -DENGINE_SCRATCH_BYTES=ECG_MODEL_<NAME>_SCRATCH_BYTES -DENGINE_INPUT_BYTES=n
// Linked without the model (-Wl,--defsym=ecg_model_<name>=0) it does not run: it is the harness, whose size comes off the whole.
#include <avr/interrupt.h>
#include <avr/io.h>

#include ENGINE_HEADER

static uint8_t scratch[ENGINE_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t input[ENGINE_INPUT_BYTES];
static int8_t scores[ENGINE_CLASSES];
static volatile uint16_t overflows;

ISR(TIMER1_OVF_vect)
{
    overflows++;
}

static uint32_t cycles(void)
{
    cli();
    uint16_t low = TCNT1, high = overflows;
    if ((TIFR1 & _BV(TOV1)) != 0u && low < 0x8000u) {
        high++;
    }
    sei();
    return (uint32_t)high << 16 | low;
}

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

static void answer(ecg_status_t status, uint32_t spent)
{
    give((int8_t)status);
    for (uint16_t i = 0; i < ENGINE_CLASSES; i++) {
        give(scores[i]);
    }
    for (uint8_t shift = 0; shift < 32u; shift += 8u) {
        give((int8_t)(spent >> shift));
    }
}

static void windows(void)
{
    for (;;) {
        for (uint16_t i = 0; i < ENGINE_INPUT_BYTES; i++) {
            input[i] = take();
        }
        const uint32_t before = cycles();
        const ecg_status_t status = ENGINE_MODEL.run(scratch, input, scores);
        answer(status, cycles() - before);
    }
}

static void stream(void)
{
    uint32_t spent = 0;
    ENGINE_MODEL.reset(scratch);
    for (;;) {
        for (uint8_t i = 0; i < ENGINE_MODEL.leads; i++) {
            input[i] = take();
        }
        const uint32_t before = cycles();
        const bool done = ENGINE_MODEL.push(scratch, input, scores);
        spent += cycles() - before;
        if (done) {
            answer(ECG_OK, spent);
            spent = 0;
        }
    }
}

int main(void)
{
    TCCR1B = _BV(CS10);
    TIMSK1 = _BV(TOIE1);
    UCSR0A = _BV(U2X0);
    UBRR0 = 1u;    // 1 Mbaud at 16 MHz
    UCSR0B = _BV(RXEN0) | _BV(TXEN0);
    sei();
    while ((UCSR0A & _BV(RXC0)) == 0u) {
        give(0);
    }
    const int8_t mode = take();
    give(mode);
    if (mode == 's' && ENGINE_MODEL.push != NULL) {
        stream();
    }
    windows();
}
