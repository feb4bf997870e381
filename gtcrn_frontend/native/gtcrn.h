/* C API of GTCRN speech enhancement: noisy audio in, enhanced audio out, aligned to the sample. Needs no Python; see
 * examples/native.c (C) and examples/native.rs (Rust).
 *
 *     gtcrn_model *model = gtcrn_model_load(weights, bytes, NULL, &error);
 *     gtcrn_settings settings;
 *     gtcrn_settings_init(&settings);
 *     settings.sample_rate = settings.output_sample_rate = 48000;
 *     settings.channels = 2;
 *     gtcrn_enhancer *enhancer = gtcrn_enhancer_new(model, &settings, &error);
 *     while (...) written = gtcrn_enhancer_push(enhancer, input, frames, output, room);
 *     written = gtcrn_enhancer_finish(enhancer, output, room);
 *
 * Audio is float with full scale 1, channels interleaved; a frame is one sample of each channel. Output frame i
 * corresponds to input frame i, and any chunking gives the same samples.
 *
 * A model may be shared by any number of threads, and is freed with its last enhancer. An enhancer is one stream: a
 * call during another call returns GTCRN_BUSY and does nothing, except where noted. A call that returns an error has
 * changed nothing. Only functions named `..._new` and `..._load` allocate memory, and there is no global state.
 */
#ifndef GTCRN_H
#define GTCRN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GTCRN_API_VERSION 2 /* of this header; changes when existing programs have to */

/* cffi: begin. What is between these marks is also read by setup.py. */

#define GTCRN_REFUSED -1 /* invalid samples, settings or state */
#define GTCRN_BUSY -2    /* another thread is using the enhancer */
#define GTCRN_ROOM -3    /* the output is too small */

#define GTCRN_AUTO -1 /* the strength is chosen hop by hop */

typedef struct gtcrn_model gtcrn_model;
typedef struct gtcrn_enhancer gtcrn_enhancer;

/* Returns GTCRN_API_VERSION of the library. */
int gtcrn_api_version(void);

/* Returns the i-th instruction set of this build that this machine supports, fastest first; NULL after the last:
 * "x86-64-v4", "x86-64-v3", "x86-64-v2", or "generic" (the compiler's target, for example NEON on arm64). */
const char *gtcrn_isa(int i);

/* Loads a model from weights written by `python -m gtcrn_frontend.weights.pack`, which are copied. Returns NULL on
 * failure, with a message in *error. `isa` is one of the names above, or NULL for the fastest. */
gtcrn_model *gtcrn_model_load(const void *weights, size_t bytes, const char *isa, const char **error);
void gtcrn_model_free(gtcrn_model *model);

/* Returns the instruction set of the model. */
const char *gtcrn_model_isa(const gtcrn_model *model);

/* Parameters of the automatic strength, as in AutoStrengthConfig (config.py), where they are documented. */
typedef struct {
    double noisy_snr_db, clean_snr_db, min_strength, max_strength, caution, max_doubt;
} gtcrn_auto_settings;

/* Settings of an enhancer; initialise them by `gtcrn_settings_init`. */
typedef struct {
    uint32_t sample_rate;        /* of the input in Hz, 8000 to 192000; default 16000 */
    uint32_t output_sample_rate; /* of the output; default 16000 */
    uint32_t channels;           /* of the input, 1 to 16, each enhanced on its own; default 1 */
    uint32_t downmix;            /* 1: average the channels first, the output is mono; default 0 */
    uint32_t bypass;             /* 1: deliver the aligned input, see `gtcrn_enhancer_set_bypass`; default 0 */
    double strength;             /* see `gtcrn_enhancer_set_strength`; default 0.8 */
    gtcrn_auto_settings auto_strength;
} gtcrn_settings;

/* Sets the defaults. */
void gtcrn_settings_init(gtcrn_settings *settings);

/* Creates an enhancer. Returns NULL on failure, with a message in *error. */
gtcrn_enhancer *gtcrn_enhancer_new(gtcrn_model *model, const gtcrn_settings *settings, const char **error);
void gtcrn_enhancer_free(gtcrn_enhancer *enhancer);

/* Returns the number of frames that the next `frames` of the input will deliver. */
int64_t gtcrn_enhancer_due(const gtcrn_enhancer *enhancer, size_t frames);

/* Returns the number of frames that `gtcrn_enhancer_finish` will deliver. */
int64_t gtcrn_enhancer_rest(const gtcrn_enhancer *enhancer);

/* Enhances the next `frames` of the input; writes the complete frames to `output`, which has room for `room` frames and
 * does not overlap the input. Samples must be finite and within +-8. Returns the number of frames written, or
 * GTCRN_BUSY, GTCRN_ROOM or GTCRN_REFUSED. */
int64_t gtcrn_enhancer_push(gtcrn_enhancer *enhancer, const float *input, size_t frames, float *output, size_t room);

/* Writes the remaining frames and resets the enhancer. In total, frames out are ceil(frames in * output rate / rate).
 */
int64_t gtcrn_enhancer_finish(gtcrn_enhancer *enhancer, float *output, size_t room);

/* Time-aligned outputs, each for `room` frames, or NULL: the input, the enhanced signal at full strength, and
 * strength * enhanced + (1 - strength) * input, which the functions above write. */
typedef struct {
    float *dry, *enhanced, *mixed;
} gtcrn_outputs;

/* The same with all outputs. */
int64_t gtcrn_enhancer_push_aligned(gtcrn_enhancer *enhancer, const float *input, size_t frames,
                                    const gtcrn_outputs *outputs, size_t room);
int64_t gtcrn_enhancer_finish_aligned(gtcrn_enhancer *enhancer, const gtcrn_outputs *outputs, size_t room);

/* Resets the enhancer: the next frame is the first one, preceded by silence. Returns 0 or GTCRN_BUSY. */
int gtcrn_enhancer_reset(gtcrn_enhancer *enhancer);

/* Sets the weight of the enhanced signal in the output, 0 to 1, or GTCRN_AUTO, from the next push on; changes ramp over
 * 16 ms. Also during a call of another thread. Returns 0 or GTCRN_REFUSED. */
int gtcrn_enhancer_set_strength(gtcrn_enhancer *enhancer, double strength);

/* Switches bypass, in which the aligned input is delivered while the network keeps running; otherwise as above. */
void gtcrn_enhancer_set_bypass(gtcrn_enhancer *enhancer, int bypass);

/* Returns the frames so far; also during a call of another thread. */
int64_t gtcrn_enhancer_frames_in(const gtcrn_enhancer *enhancer);
int64_t gtcrn_enhancer_frames_out(const gtcrn_enhancer *enhancer);

/* Returns the longest that a frame waits, in frames of the input. */
int64_t gtcrn_enhancer_latency(const gtcrn_enhancer *enhancer);

/* State of the automatic strength of one channel, as in AutoStrengthReport. */
typedef struct {
    double snr_db, strength, doubt;
    int64_t hops, speech_hops, lost_hops;
} gtcrn_report;

/* Writes the report of a channel after the last push, also during a call of another thread. Returns 0, or
 * GTCRN_REFUSED if there is no such channel or the strength was not automatic in that push. */
int gtcrn_enhancer_report(const gtcrn_enhancer *enhancer, uint32_t channel, gtcrn_report *report);

/* Writes the state of the stream and returns its size, or GTCRN_BUSY or GTCRN_ROOM; with NULL it only returns the size,
 * which changes with every push. state.h documents the format. */
int64_t gtcrn_enhancer_export_state(gtcrn_enhancer *enhancer, void *state, size_t room);

/* Restores a state of an enhancer with the same weights, rates and number of channels, also of another process or
 * machine of the same byte order; strength and bypass remain those set here. Returns 0, GTCRN_BUSY, or GTCRN_REFUSED
 * for a state that is damaged or of another version or enhancer. */
int gtcrn_enhancer_import_state(gtcrn_enhancer *enhancer, const void *state, size_t bytes);

/* The next frames of one enhancer for `gtcrn_push_many`. */
typedef struct {
    gtcrn_enhancer *enhancer; /* must be unique within a call */
    const float *input;
    float *output;
    size_t frames; /* of the input */
    size_t room;   /* of the output; `gtcrn_set_room` sets it */
} gtcrn_chunk;

/* Sets `room` of each chunk to what is due; returns the number of samples of all outputs together. */
size_t gtcrn_set_room(gtcrn_chunk *chunks, size_t count);

/* Pushes the chunks of many enhancers, or the channels of one, on at most `threads` threads, including the caller's; if
 * threads cannot be started or there is too little work, fewer are used. The output does not depend on their number.
 * Sets `room` of each chunk to the frames written. Returns 0, or the error of an enhancer, which has not changed. */
int gtcrn_push_many(gtcrn_chunk *chunks, size_t count, int threads);

/* cffi: end. */

#ifdef __cplusplus
}
#endif
#endif
