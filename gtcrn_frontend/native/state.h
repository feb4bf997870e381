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

/* The arrays of the network in the order of `gtcrn_stream_export`. */
static const struct {
    const char *name;
    uint32_t count;
} engine_arrays[ENGINE_ARRAYS] = {{"engine.analysis", HOP},
                                  {"engine.synthesis", HOP},
                                  {"engine.conv", SLOTS * CHANNELS * WIDTH},
                                  {"engine.tra", BLOCKS * CHANNELS},
                                  {"engine.inter", 2 * WIDTH * CHANNELS}};

static inline size_t gtcrn_bytes_of(uint32_t type, size_t count)
{
    return ((type == 'f' ? sizeof(float) : sizeof(double)) * count + 7) / 8 * 8;
}

#endif
