/* Enhances raw float32 audio, mono at 16 kHz, from stdin to stdout: native weights.bin < noisy.f32 > enhanced.f32
 *
 * weights.bin is written by: python -m gtcrn_frontend.weights.pack gtcrn-asr weights.bin
 * Build, with -march=x86-64-v3 or what else the machine has (docs/engines.md shows the whole):
 *   cd gtcrn_frontend/native
 *   cc -std=gnu11 -O3 -ffp-contract=fast -march=native -DGTCRN_SINGLE -I. ../../examples/native.c *.c -lm -pthread -o native
 */
#include <stdio.h>

#include "gtcrn.h"

int main(int argc, char **argv)
{
    static char blob[1 << 21];
    const char *error = "usage: native weights.bin < noisy.f32 > enhanced.f32";
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t bytes = file ? fread(blob, 1, sizeof blob, file) : 0;
    gtcrn_model *model = file ? gtcrn_model_load(blob, bytes, NULL, &error) : NULL;
    gtcrn_stream *stream = gtcrn_stream_new();
    if (!model || !stream) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    float hop[GTCRN_HOP];
    while (fread(hop, sizeof hop, 1, stdin) == 1) { /* what is enhanced lies one hop back: 16 ms */
        gtcrn_job job = {.stream = stream, .input = hop, .output = hop, .hops = 1, .strength = 1};
        gtcrn_process(model, &job);
        fwrite(hop, sizeof hop, 1, stdout);
    }
    gtcrn_stream_free(stream);
    gtcrn_model_free(model);
    return 0;
}
