/* Design and use of the resampler's filters; the sums are in kernel.c. */
#include "resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

enum {
    ROWS_OF_FIR = 16,   /* outputs of one product with a matrix */
    MAX_MATRICES = 6,   /* rate ratios with more matrices take weights per phase */
    MAX_PHASES = 1024,  /* ratios with more phases interpolate in a table of phases */
    TABLE_PHASES = 512, /* of that table: error of linear interpolation below -100 dB */
    RUN = 64,           /* matrix products at a time */
    LOWEST_RATE = 8000,
    HIGHEST_RATE = 192000,
};

static const double half_span_s = 0.0045, stop_band_db = 85.0, pi = 3.14159265358979323846;

struct gtcrn_filter {
    int64_t up, down; /* rate_out / rate_in in lowest terms */
    int64_t half;     /* taps on either side of an output */
    int64_t grid;     /* outputs that a matrix may begin with are its multiples */
    int64_t width;    /* input samples of a matrix, or taps of a phase */
    int64_t lead;     /* samples before the first tap that are read without a weight */
    enum { MATRICES, PHASES, TABLE } kind;
    gtcrn_sums sums;
    float *weights; /* (matrices, width, 16), (phases, width) or (TABLE_PHASES + 1, width) */
};

/* Returns floor(n * mul / div) for n >= 0 without overflow. */
static int64_t scaled(int64_t n, int64_t mul, int64_t div)
{
    return n / div * mul + n % div * mul / div;
}

/* Modified Bessel function of the first kind and order 0, by its power series. */
static double bessel(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; term > 1e-17 * sum; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

typedef struct {
    double rate_in, cutoff_hz, beta, norm;
} design;

static design new_design(double rate_in, double rate_out)
{
    const double transition_hz = (stop_band_db - 8.0) / (2.285 * 2 * pi * 2 * half_span_s);
    design d = {.rate_in = rate_in, .beta = 0.1102 * (stop_band_db - 8.7)};
    d.cutoff_hz = fmin(rate_in, rate_out) / 2 - transition_hz / 2;
    d.norm = 1 / bessel(d.beta);
    return d;
}

/* The impulse response at `offset` input samples from its centre: a sinc in a Kaiser window. */
static float response(const design *d, double offset)
{
    const double seconds = offset / d->rate_in, x = seconds / half_span_s, inside = 1 - x * x;
    if (inside <= 0) return 0;
    const double angle = pi * 2 * d->cutoff_hz * seconds;
    const double sinc = angle == 0 ? 1 : sin(angle) / angle;
    return (float)(2 * d->cutoff_hz / d->rate_in * sinc * bessel(d->beta * sqrt(inside)) * d->norm);
}

static int64_t gcd(int64_t a, int64_t b)
{
    return b ? gcd(b, a % b) : a;
}

/* Allocates and fills the weights; returns whether there was memory. */
static int fill(gtcrn_filter *f, const design *d)
{
    const int64_t matrices = f->up / f->grid, phases = f->kind == PHASES ? f->up : TABLE_PHASES + 1;
    const int64_t rows = f->kind == MATRICES ? matrices * ROWS_OF_FIR : phases;
    f->weights = gtcrn_allocate((size_t)(rows * f->width) * sizeof *f->weights);
    if (!f->weights) return 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t row_step = 1, begin; /* tap i is at input sample begin + i; the output at `time` */
        float *weights = f->weights + row * f->width;
        double time;
        if (f->kind == MATRICES) {
            const int64_t output = row / ROWS_OF_FIR * f->grid;
            weights = f->weights + row / ROWS_OF_FIR * ROWS_OF_FIR * f->width + row % ROWS_OF_FIR;
            row_step = ROWS_OF_FIR;
            begin = output * f->down / f->up - f->half + 1;
            time = (double)((output + row % ROWS_OF_FIR) * f->down) / (double)f->up;
        } else {
            begin = f->half + 1 - f->width;
            time = (double)row / (double)(f->kind == PHASES ? f->up : TABLE_PHASES);
        }
        for (int64_t i = 0; i < f->width; i++)
            if (f->kind == MATRICES || i >= f->lead) weights[i * row_step] = response(d, (double)(begin + i) - time);
    }
    return 1;
}

gtcrn_filter *gtcrn_filter_new(uint32_t rate_in, uint32_t rate_out, const char *isa)
{
    const gtcrn_sums *sums = gtcrn_find_sums(isa);
    if (!sums || rate_in == rate_out || rate_in < LOWEST_RATE || rate_in > HIGHEST_RATE || rate_out < LOWEST_RATE ||
        rate_out > HIGHEST_RATE)
        return NULL;
    gtcrn_filter *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    const int64_t divisor = gcd(rate_in, rate_out);
    f->up = rate_out / divisor, f->down = rate_in / divisor, f->sums = *sums;
    f->half = (9 * (int64_t)rate_in + 1999) / 2000; /* 4.5 ms, rounded up */
    f->grid = gcd(ROWS_OF_FIR, f->up);
    if (f->up / f->grid <= MAX_MATRICES) {
        const int64_t last = (ROWS_OF_FIR - 1) * f->down;
        f->kind = MATRICES;
        f->width = 2 * f->half + (last + f->up - 1) / f->up;
        f->lead = ((f->grid - 1) * f->down + f->up - 1) / f->up;
    } else {
        f->kind = f->up <= MAX_PHASES ? PHASES : TABLE;
        f->width = (2 * f->half + 15) / 16 * 16;
        f->lead = f->width - 2 * f->half;
    }
    const design d = new_design(rate_in, rate_out);
    if (fill(f, &d)) return f;
    gtcrn_filter_free(f);
    return NULL;
}

void gtcrn_filter_free(gtcrn_filter *filter)
{
    if (!filter) return;
    gtcrn_free(filter->weights);
    free(filter);
}

int64_t gtcrn_filter_ready(const gtcrn_filter *f, int64_t samples)
{
    const int64_t seen = samples - f->half; /* the outputs before this moment */
    return seen <= 0 ? 0 : seen / f->down * f->up + (seen % f->down * f->up + f->down - 1) / f->down;
}

int64_t gtcrn_filter_delay(const gtcrn_filter *f)
{
    return f->half;
}

int64_t gtcrn_filter_begin(const gtcrn_filter *f, int64_t output)
{
    return scaled(output, f->down, f->up) - f->half + 1;
}

size_t gtcrn_filter_past(const gtcrn_filter *f)
{
    return (size_t)(2 * f->half + f->lead);
}

size_t gtcrn_filter_blank(const gtcrn_filter *f)
{
    return f->kind == MATRICES ? (size_t)(f->width - 2 * f->half) : 0;
}

/* Outputs from the matrices, `RUN` at a time so that the outputs before and behind those asked for have room. */
static void run_matrices(const gtcrn_filter *f, const float *buffer, int64_t origin, int64_t first, int64_t count,
                         float *output)
{
    const int64_t cycle = f->up / f->grid; /* matrices repeat after so many */
    const size_t step = (size_t)(cycle * ROWS_OF_FIR * f->down / f->up);
    float outputs[RUN * ROWS_OF_FIR];
    while (count > 0) {
        const int64_t skipped = first % f->grid, start = first - skipped;
        const int64_t room = RUN * ROWS_OF_FIR - skipped, part = count < room ? count : room;
        const int64_t products = (skipped + part + ROWS_OF_FIR - 1) / ROWS_OF_FIR;
        for (int64_t p = 0; p < cycle && p < products; p++) {
            const int64_t begin = start + p * ROWS_OF_FIR;
            const float *weights = f->weights + begin % f->up / f->grid * ROWS_OF_FIR * f->width;
            f->sums.fir(weights, (size_t)f->width, buffer + (gtcrn_filter_begin(f, begin) - origin), step,
                        (size_t)((products - p + cycle - 1) / cycle), outputs + p * ROWS_OF_FIR,
                        (size_t)(cycle * ROWS_OF_FIR));
        }
        memcpy(output, outputs + skipped, (size_t)part * sizeof *output);
        first += part, output += part, count -= part;
    }
}

int gtcrn_filter_run(const gtcrn_filter *f, const float *buffer, int64_t origin, size_t length, int64_t first,
                     size_t count, float *output)
{
    if (!count) return 0;
    if (first < 0 || (uint64_t)count > (uint64_t)1 << 48 || gtcrn_filter_begin(f, first) - f->lead < origin ||
        gtcrn_filter_begin(f, first + (int64_t)count - 1) + 2 * f->half + (int64_t)gtcrn_filter_blank(f) >
            origin + (int64_t)length)
        return -1;
    if (f->kind == MATRICES) {
        run_matrices(f, buffer, origin, first, (int64_t)count, output);
        return 0;
    }
    const size_t width = (size_t)f->width;
    int64_t phase = first % f->up * f->down % f->up; /* the output is phase / up behind an input sample */
    const float *window = buffer + (gtcrn_filter_begin(f, first) - f->lead - origin);
    for (size_t i = 0; i < count; i++) {
        if (f->kind == PHASES) {
            output[i] = f->sums.dot(window, f->weights + (size_t)phase * width, width);
        } else {
            const int64_t place = phase * TABLE_PHASES, row = place / f->up;
            const float way = (float)((double)(place % f->up) / (double)f->up);
            const float *weights = f->weights + (size_t)row * width;
            const float here = f->sums.dot(window, weights, width);
            output[i] = here + way * (f->sums.dot(window, weights + width, width) - here);
        }
        phase += f->down;
        window += phase / f->up;
        phase %= f->up;
    }
    return 0;
}
