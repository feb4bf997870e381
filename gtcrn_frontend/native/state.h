/* Format of a saved state: the canonical arrays of a stream, by the names that streaming/stream_state.py gives them.
 *
 * A state is a header, and for each array a section: its name, type and number of values, and these, padded to 8 bytes;
 * in the byte order of the machine.
 */
#ifndef GTCRN_STATE_H
#define GTCRN_STATE_H

#include "enhancer.h"

enum { STATE_VERSION = 2, STATE_ORDER = 0x01020304, SECTION_NAME = 48, ENGINE_ARRAYS = 5 };

static const char state_magic[8] = "GTCRNENH";

typedef struct {
    char magic[8];
    uint32_t version, order, sample_rate, output_sample_rate, paths, sections;
} gtcrn_state_header;

typedef struct {
    char name[SECTION_NAME]; /* channel.stage.array */
    uint32_t type;           /* 'f' float, 'd' double, 'i' int64_t */
    uint32_t count;
} gtcrn_section;

typedef struct {
    const char *name;
    uint32_t count;
} gtcrn_array;

static const gtcrn_array gtcrn_arrays[ENGINE_ARRAYS] = {{"engine.analysis", HOP},
                                                        {"engine.synthesis", HOP},
                                                        {"engine.conv", SLOTS * CHANNELS * WIDTH},
                                                        {"engine.tra", BLOCKS * CHANNELS},
                                                        {"engine.inter", 2 * WIDTH * CHANNELS}};
static const gtcrn_array unas_arrays[ENGINE_ARRAYS] = {
    {"engine.analysis", HOP},
    {"engine.synthesis", HOP},
    {"engine.conv", UNAS_STATE_FLOATS - 2 * HOP - UNAS_TIME_FLOATS - 2 * WIDTH * CHANNELS},
    {"engine.tfa", UNAS_TIME_FLOATS},
    {"engine.inter", 2 * WIDTH * CHANNELS}};

/* The arrays of an enhancer's network in the order of `gtcrn_stream_export`. */
static inline const gtcrn_array *gtcrn_arrays_of(const gtcrn_enhancer *e)
{
    return e->model->network == GTCRN_UNAS ? unas_arrays : gtcrn_arrays;
}

static inline size_t gtcrn_bytes_of(uint32_t type, size_t count)
{
    return ((type == 'f' ? sizeof(float) : sizeof(double)) * count + 7) / 8 * 8;
}

#endif
