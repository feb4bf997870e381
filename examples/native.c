/* Enhances raw float32 audio, stereo at 48 kHz, from stdin to stdout: native weights.bin < noisy.f32 > enhanced.f32
 *
 * weights.bin is written by: python -m gtcrn_frontend.weights.pack gtcrn-asr weights.bin
 * Build, with -march=x86-64-v3 or what else the machine has (docs/engines.md shows the whole):
 *   cd gtcrn_frontend/native
 *   cc -std=gnu11 -O3 -ffp-contract=fast -march=native -DGTCRN_SINGLE -I. ../../examples/native.c *.c -lm -pthread -o native
 */
#include <stdio.h>

#include "gtcrn.h"

enum { CHANNELS = 2, RATE = 48000, FRAMES = 480, ROOM = 4096 }; /* chunks of 10 ms; any size would do */

int main(int argc, char **argv)
{
    static char weights[1 << 21];
    const char *error = "usage: native weights.bin < noisy.f32 > enhanced.f32";
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t bytes = file ? fread(weights, 1, sizeof weights, file) : 0;
    gtcrn_model *model = file ? gtcrn_model_load(weights, bytes, NULL, &error) : NULL;
    gtcrn_settings settings;
    gtcrn_settings_init(&settings);
    settings.sample_rate = settings.output_sample_rate = RATE;
    settings.channels = CHANNELS;
    settings.strength = GTCRN_AUTO;
    gtcrn_enhancer *enhancer = model ? gtcrn_enhancer_new(model, &settings, &error) : NULL;
    if (!enhancer) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    float noisy[FRAMES * CHANNELS], enhanced[ROOM * CHANNELS];
    for (size_t frames; (frames = fread(noisy, CHANNELS * sizeof *noisy, FRAMES, stdin)) > 0;) {
        int64_t written = gtcrn_enhancer_push(enhancer, noisy, frames, enhanced, ROOM);
        if (written < 0) return 2; /* not finite, or beyond +-8 */
        fwrite(enhanced, CHANNELS * sizeof *enhanced, (size_t)written, stdout);
    }
    int64_t written = gtcrn_enhancer_finish(enhancer, enhanced, ROOM); /* what was still on its way: 41 ms */
    fwrite(enhanced, CHANNELS * sizeof *enhanced, (size_t)written, stdout);
    gtcrn_enhancer_free(enhancer);
    gtcrn_model_free(model);
    return 0;
}
