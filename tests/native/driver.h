/* What the parts of the driver share. */
#ifndef GTCRN_DRIVER_H
#define GTCRN_DRIVER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gtcrn.h"

#define REQUIRE(condition)                                                   \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "line %d: expected %s\n", __LINE__, #condition); \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

static uint32_t seed = 1;

static inline uint32_t draw(void)
{
    return seed = seed * 1664525u + 1013904223u;
}

static inline float noise(void)
{
    return (float)(draw() >> 8) / (1 << 24) - 0.5f;
}

/* A copy that ends where the allocation does, so that reading past its end is found. */
static inline void *exact(const void *data, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    REQUIRE(copy);
    memcpy(copy, data, bytes);
    return copy;
}

/* In driver_enhancers.c: whole streams, what is refused, and threads in one stream. */
void enhancers(gtcrn_model *model);
void refusals(gtcrn_model *model);
void shared(gtcrn_model *model);

#endif
