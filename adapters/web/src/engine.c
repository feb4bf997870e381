/* gtcrn.h for JavaScript: functions without structs and 64-bit integers. Built for WebAssembly by build.py. */
#include <math.h>
#include <stdlib.h>

#include "gtcrn.h"

#define EXPORT(type, name) __attribute__((export_name(#name))) type name

static const char *message = "";

EXPORT(void *, web_allocate)(size_t bytes)
{
    return malloc(bytes);
}

EXPORT(void, web_release)(void *memory)
{
    free(memory);
}

/* Returns why the last function that returned NULL did so. */
EXPORT(const char *, web_message)(void)
{
    return message;
}

EXPORT(gtcrn_model *, web_load)(const void *weights, size_t bytes)
{
    return gtcrn_model_load(weights, bytes, NULL, &message);
}

/* Creates a mono enhancer whose output has the rate of its input; the strength is 0 to 1, GTCRN_AUTO, or NaN for the
 * default. */
EXPORT(gtcrn_enhancer *, web_open)(gtcrn_model *model, uint32_t sample_rate, double strength)
{
    gtcrn_settings settings;
    gtcrn_settings_init(&settings);
    settings.sample_rate = settings.output_sample_rate = sample_rate;
    if (!isnan(strength)) settings.strength = strength;
    return gtcrn_enhancer_new(model, &settings, &message);
}

EXPORT(void, web_close)(gtcrn_enhancer *enhancer)
{
    gtcrn_enhancer_free(enhancer);
}

EXPORT(int, web_push)(gtcrn_enhancer *enhancer, const float *input, size_t samples, float *output, size_t room)
{
    return (int)gtcrn_enhancer_push(enhancer, input, samples, output, room);
}

EXPORT(int, web_finish)(gtcrn_enhancer *enhancer, float *output, size_t room)
{
    return (int)gtcrn_enhancer_finish(enhancer, output, room);
}

EXPORT(void, web_reset)(gtcrn_enhancer *enhancer)
{
    gtcrn_enhancer_reset(enhancer);
}

EXPORT(int, web_latency)(const gtcrn_enhancer *enhancer)
{
    return (int)gtcrn_enhancer_latency(enhancer);
}

EXPORT(int, web_set_strength)(gtcrn_enhancer *enhancer, double strength)
{
    return gtcrn_enhancer_set_strength(enhancer, strength);
}

EXPORT(void, web_set_bypass)(gtcrn_enhancer *enhancer, int bypass)
{
    gtcrn_enhancer_set_bypass(enhancer, bypass);
}

EXPORT(double, web_default_strength)(void)
{
    gtcrn_settings settings;
    gtcrn_settings_init(&settings);
    return settings.strength;
}

static gtcrn_report report_of(const gtcrn_enhancer *enhancer)
{
    gtcrn_report report;
    if (gtcrn_enhancer_report(enhancer, 0, &report)) report.strength = report.snr_db = NAN;
    return report;
}

/* The automatic strength and the estimated SNR in dB; NaN where the strength is not automatic. */
EXPORT(double, web_auto_strength)(const gtcrn_enhancer *enhancer)
{
    return report_of(enhancer).strength;
}

EXPORT(double, web_snr_db)(const gtcrn_enhancer *enhancer)
{
    return report_of(enhancer).snr_db;
}
