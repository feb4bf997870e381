/* Weights and states of UL-UNAS. Compiled once, for the baseline of the target. */
#include <math.h>

#include "unas.h"

/* Returns the next `count` floats at *at, which is moved behind them. */
static const float *next(const float **at, int count)
{
    const float *here = *at;
    *at += (count + 15) / 16 * 16;
    return here;
}

/* Writes where the weights of a block are, and moves *at behind them. */
static void place(const unas_shape *s, const float **at, unas_block *w)
{
    const int row = unas_row(s->outputs), gates = unas_gates(2 * s->outputs), last = s->outputs == 1;
    if (s->kind != UNAS_CONVOLUTION) {
        w->point1 = next(at, s->inputs * 16);
        w->point1_bias = next(at, row);
        w->point1_act = next(at, s->bands_in * 2 * row);
        w->point1_fold = next(at, row);
    }
    w->conv = next(at, s->frames * s->taps * row);
    w->conv_bias = next(at, row);
    if (!last) {
        w->conv_act = next(at, s->bands_out * 2 * row);
        w->conv_fold = next(at, row);
    }
    if (s->kind == UNAS_INVERTED) {
        w->point2 = next(at, s->outputs * 16);
        w->point2_bias = next(at, row);
    }
    w->time_input = next(at, s->outputs * gates);
    w->time_hidden = next(at, 2 * s->outputs * gates);
    w->time_input_bias = next(at, gates);
    w->time_hidden_bias = next(at, gates);
    w->time_fc = next(at, 2 * s->outputs * row);
    w->time_fc_bias = next(at, row);
    w->bands_input = next(at, 4 * 3 * 8);
    w->bands_bias = next(at, 3 * 8);
    w->bands_hidden = next(at, 4 * 3 * 8);
    w->bands_hidden_bias = next(at, 8);
    w->bands_fc = next(at, 8 * 4);
    w->bands_fc_bias = next(at, 4);
}

static void fill_tables(unas_tables *tables)
{
    const double pi = 3.14159265358979323846;
    for (int n = 0; n < FRAME; n++) tables->analysis_window[n] = (0.5 - 0.5 * cos(2 * pi * n / FRAME)) / 2;
    for (int k = 0; k < FRAME / 2; k++) {
        tables->split_cos[k] = cos(2 * pi * k / FRAME);
        tables->split_sin[k] = sin(2 * pi * k / FRAME);
    }
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 16; column++) {
            tables->turn_cos[row][column] = cos(2 * pi * row * column / 256);
            tables->turn_sin[row][column] = -sin(2 * pi * row * column / 256);
        }
}

unas_model *gtcrn_unas_load(const void *blob, size_t bytes)
{
    unas_model *model = gtcrn_allocate(sizeof *model);
    if (!model) return NULL;
    fill_tables(&model->tables);
    model->weights = blob;
    const float *at = model->weights->blocks;
    for (int i = 0; i < UNAS_BLOCKS; i++) place(&unas_shapes[i], &at, &model->blocks[i]);
    if ((size_t)((const char *)at - (const char *)blob) == bytes) return model;
    gtcrn_free(model);
    return NULL;
}

void gtcrn_unas_free(const unas_model *model)
{
    gtcrn_free((void *)model->weights);
    gtcrn_free((void *)model);
}

void gtcrn_unas_exchange(gtcrn_stream *stream, float *state, void (*copy)(float *in_stream, float *in_state))
{
    float *at = stream->unas;
    for (int i = 0; i < UNAS_BLOCKS; i++) {
        const unas_shape *s = &unas_shapes[i];
        const int depthwise = s->kind != UNAS_CONVOLUTION, row = depthwise ? unas_row(s->outputs) : 16;
        const int channels = depthwise ? s->outputs : s->inputs, frames = s->frames - 1;
        for (int channel = 0; channel < channels; channel++)
            for (int frame = 0; frame < frames; frame++)
                for (int band = 0; band < s->bands_in; band++) {
                    float *value;
                    if (depthwise) {
                        const int size = (s->bands_in + 2 * UNAS_MARGIN) * row;
                        const int lane = row == 32 ? channel % 2 * 16 + channel / 2 : channel;
                        value = at + (1 - stream->unas_turn) * size + (UNAS_MARGIN + band) * row + lane;
                    } else if (s->transposed)
                        value = at + (frame + 1) * s->bands_in * 16 + band * 16 + channel;
                    else
                        value = at + (frame + 1) * UNAS_TAPS_ROW + 1 + band;
                    copy(value, state++);
                }
        at += unas_past_floats(s) + unas_hidden_floats(s);
    }
    at = stream->unas;
    for (int i = 0; i < UNAS_BLOCKS; i++) {
        const unas_shape *s = &unas_shapes[i];
        at += unas_past_floats(s);
        for (int unit = 0; unit < 2 * s->outputs; unit++) copy(at + unit, state++);
        at += unas_hidden_floats(s);
    }
    for (int i = 0; i < 2 * WIDTH * CHANNELS; i++) copy(&stream->unas_inter[0][0][0] + i, state++);
}
