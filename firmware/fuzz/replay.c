// `replay FILE...`: the fuzz target on files, without a fuzzer. A broken invariant aborts; the last name said is the input.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_BYTES 65536u

int main(int argc, char **argv)
{
    static uint8_t bytes[MOST_BYTES];
    for (int i = 1; i < argc; i++) {
        FILE *const file = fopen(argv[i], "rb");
        if (file == NULL) {
            (void)fprintf(stderr, "replay: cannot open %s\n", argv[i]);
            return 2;
        }
        const size_t n = fread(bytes, 1u, sizeof bytes, file);
        (void)fclose(file);
        (void)fprintf(stderr, "%s\n", argv[i]);
        // A copy of its own size, so that a sanitizer sees a read beyond its end.
        uint8_t *const copy = malloc(n != 0u ? n : 1u);
        if (copy == NULL) {
            return 2;
        }
        for (size_t k = 0; k < n; k++) {
            copy[k] = bytes[k];
        }
        (void)LLVMFuzzerTestOneInput(copy, n);
        free(copy);
    }
    return 0;
}
