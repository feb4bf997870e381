/* `strength="auto"` in C: how much of the enhanced signal goes out, decided hop by hop, and mixed in sample by sample.
 *
 * streaming/auto_strength/level_tracker.py and streaming/strength_ramp.py do the same in Python, and say what it means; tests compare the two. Nothing
 * here belongs to one network: hops have any length, rates are any.
 */
#ifndef GTCRN_AUTO_STRENGTH_H
#define GTCRN_AUTO_STRENGTH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin. What is between these marks is also read by setup.py. */

/* Settings and state of the choice of strength for one channel. */
typedef struct {
    double noisy_snr_db, clean_snr_db, min_strength, max_strength, caution, max_doubt;
    double noise_step, lost_step, doubt_step, strength_step, floor_rise, most_heard;
    double speech, noise, recent, floor, lost, doubt, strength, heard;
    int64_t hops, speech_hops, lost_hops;
} gtcrn_auto_strength;

/* Where hops lie in the output: hop h begins at (h hop_length - delay) / rate seconds. */
typedef struct {
    int64_t hop_length, delay, rate, output_rate;
} gtcrn_grid;

/* Decides on the strengths (hops,) at the end of hops, from their `energies` (hops, 3): mean squares of the input, of
 * the enhanced signal, and of their difference. */
void gtcrn_auto_strength_decide(gtcrn_auto_strength *levels, const double *energies, size_t hops, double *strengths);

/* Does so from the samples themselves, both (hops, hop_length) and of the same moments; `strengths` may be NULL. */
void gtcrn_auto_strength_update(gtcrn_auto_strength *levels, const float *dry, const float *enhanced, size_t hops,
                                size_t hop_length, double *strengths);

/* Mixes the `count` samples of the output from number `sample` on: dry + strength * (enhanced - dry). Hop `hop` goes
 * linearly from strengths[0] to strengths[1], the next one on to strengths[2], and so on to strengths[ends]; before and
 * behind these hops the strength stands still. Returns how many of them are mixed to their end. */
int64_t gtcrn_mix(const gtcrn_grid *grid, int64_t hop, const double *strengths, int64_t ends, int64_t sample,
                  const float *dry, const float *enhanced, int64_t count, float *mixed);

/* cffi: end. */

#ifdef __cplusplus
}
#endif
#endif
