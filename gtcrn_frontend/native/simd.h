/* Float vectors in the width of the instruction set, with the vector types of gcc and clang; intrinsics only for
 * minimum and maximum, which gcc has no operators for.
 *
 * `vec` has LANES lanes; `half` has at most the 8 of a group of channels. A row of 16 channels is PARTS vec, a row of 8
 * is HALF_PARTS half.
 */
#ifndef GTCRN_SIMD_H
#define GTCRN_SIMD_H

#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#include <immintrin.h>
#elif defined(__AVX__)
#define LANES 8
#include <immintrin.h>
#else
#define LANES 4
#if defined(__SSE__)
#include <xmmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif
#endif

#define HALF_LANES (LANES < 8 ? LANES : 8)
#define PARTS (16 / LANES)
#define HALF_PARTS (8 / HALF_LANES)
#define INLINE static inline __attribute__((always_inline))

/* for (int i = 0; i < count; i++), unrolled so that arrays of vectors stay in registers. */
#define EACH(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (count); i++)

/* The same, not unrolled: gcc would otherwise sum one vector after the other. */
#define LOOP(i, count) _Pragma("GCC unroll 1") for (int i = 0; i < (count); i++)

/* Loads and stores use types with the alignment of a float that may alias everything. */
#define DEFINE_VECTOR(V, LANES_OF_V)                                                              \
    typedef float V __attribute__((vector_size(4 * LANES_OF_V)));                                 \
    typedef int V##_int __attribute__((vector_size(4 * LANES_OF_V)));                             \
    typedef float V##_memory __attribute__((vector_size(4 * LANES_OF_V), aligned(4), may_alias)); \
    INLINE V V##_load(const float *x)                                                             \
    {                                                                                             \
        return *(const V##_memory *)x;                                                            \
    }                                                                                             \
    INLINE void V##_store(float *x, V v)                                                          \
    {                                                                                             \
        *(V##_memory *)x = v;                                                                     \
    }                                                                                             \
    INLINE V V##_set(float x)                                                                     \
    {                                                                                             \
        return x - (V){0};                                                                        \
    }                                                                                             \
    INLINE V V##_abs(V v)                                                                         \
    {                                                                                             \
        return (V)((V##_int)v & 0x7fffffff);                                                      \
    }

DEFINE_VECTOR(quad, 4)
#if LANES == 4
typedef quad vec, half;
typedef quad_int vec_int, half_int;
#define vec_load quad_load
#define vec_store quad_store
#define vec_set quad_set
#define vec_abs quad_abs
#else
DEFINE_VECTOR(vec, LANES)
#endif
#if LANES == 16
DEFINE_VECTOR(half, 8)
#elif LANES == 8
typedef vec half;
typedef vec_int half_int;
#endif
#if LANES < 16
#define half_load vec_load
#define half_store vec_store
#define half_set vec_set
#define half_abs vec_abs
#endif

/* Returns lanes of a (numbered from 0) and b (from the number of lanes on). */
#if defined(__clang__)
#define SHUFFLE(V, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(V, a, b, ...) __builtin_shuffle(a, b, (V##_int){__VA_ARGS__})
#endif

/* Returns x clamped to [-limit, limit]. */
#define DEFINE_CLAMP(V, MIN, MAX)                            \
    INLINE V V##_clamp(V x, float limit)                     \
    {                                                        \
        return MAX(MIN(x, V##_set(limit)), V##_set(-limit)); \
    }
#if defined(__clang__)
DEFINE_CLAMP(vec, __builtin_elementwise_min, __builtin_elementwise_max)
#elif LANES == 16
DEFINE_CLAMP(vec, _mm512_min_ps, _mm512_max_ps)
DEFINE_CLAMP(half, _mm256_min_ps, _mm256_max_ps)
#elif LANES == 8
DEFINE_CLAMP(vec, _mm256_min_ps, _mm256_max_ps)
#elif defined(__SSE__)
DEFINE_CLAMP(vec, _mm_min_ps, _mm_max_ps)
#elif defined(__ARM_NEON)
DEFINE_CLAMP(vec, vminq_f32, vmaxq_f32)
#else
INLINE vec minimum(vec a, vec b)
{
    return (vec)(((quad_int)a & (a < b)) | ((quad_int)b & ~(a < b)));
}
INLINE vec maximum(vec a, vec b)
{
    return -minimum(-a, -b);
}
DEFINE_CLAMP(vec, minimum, maximum)
#endif
#if defined(__clang__) && LANES == 16
DEFINE_CLAMP(half, __builtin_elementwise_min, __builtin_elementwise_max)
#endif
#if LANES < 16
#define half_clamp vec_clamp
#endif

/* tanh as x P(x^2) / Q(x^2), a minimax fit on [-8, 8] with an error of at most 4e-7 including rounding. No exp, and
 * numerator and denominator are independent: this function is the critical path of the recurrences. */
#define DEFINE_TANH(V)                                                                                                \
    INLINE V V##_tanh(V x)                                                                                            \
    {                                                                                                                 \
        x = V##_clamp(x, 8.0f);                                                                                       \
        V u = x * x, u2 = u * u;                                                                                      \
        V p = (9.999993622e-01f + 1.291364153e-01f * u) + u2 * (2.938827931e-03f + 1.131022550e-05f * u);             \
        V q =                                                                                                         \
            (1.0f + 4.624674029e-01f * u) + u2 * ((2.376382813e-02f + 2.370284976e-04f * u) + 2.423841768e-07f * u2); \
        return x * p / q;                                                                                             \
    }
DEFINE_TANH(vec)
#if LANES == 16
DEFINE_TANH(half)
#else
#define half_tanh vec_tanh
#endif

#endif
