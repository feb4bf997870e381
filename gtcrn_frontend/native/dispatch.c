/* Selects the kernel for the machine, and runs it with denormals flushed to zero. */
#include <string.h>

#include "model.h"
#include "resample.h"

#if defined(__x86_64__) || defined(_M_X64)
#define GTCRN_X86 1
#include <xmmintrin.h>
#endif

/* With GTCRN_SINGLE defined there is a single kernel, for the compiler's target, and no dispatch. */
#if defined(GTCRN_X86) && !defined(GTCRN_SINGLE)
#define GTCRN_LEVELS 1
#include <cpuid.h>
extern gtcrn_kernel gtcrn_kernel_v4, gtcrn_kernel_v3, gtcrn_kernel_v2;
extern const gtcrn_sums gtcrn_kernel_v4_sums, gtcrn_kernel_v3_sums, gtcrn_kernel_v2_sums;

/* Returns the x86-64 level that processor and operating system support: 1 to 4. */
static int x86_level(void)
{
    enum { /* leaf 1, ecx */ SSE3 = 1,
           SSSE3 = 1 << 9,
           FMA = 1 << 12,
           CX16 = 1 << 13,
           SSE41 = 1 << 19,
           SSE42 = 1 << 20,
           MOVBE = 1 << 22,
           POPCNT = 1 << 23,
           OSXSAVE = 1 << 27,
           AVX = 1 << 28,
           F16C = 1 << 29 };
    enum { /* leaf 7, ebx */ BMI1 = 1 << 3,
           AVX2 = 1 << 5,
           BMI2 = 1 << 8,
           AVX512F = 1 << 16,
           AVX512DQ = 1 << 17,
           AVX512CD = 1 << 28,
           AVX512BW = 1 << 30 };
    const unsigned avx512vl = 1u << 31, lahf = 1, lzcnt = 1 << 5; /* leaf 7, ebx; leaf 0x80000001, ecx */
    const unsigned v2 = SSE3 | SSSE3 | CX16 | SSE41 | SSE42 | POPCNT, v3 = FMA | MOVBE | OSXSAVE | AVX | F16C;
    const unsigned v3_seven = BMI1 | AVX2 | BMI2, v4_seven = AVX512F | AVX512DQ | AVX512CD | AVX512BW | avx512vl;
    unsigned eax, ebx, one = 0, edx, seven = 0, extended = 0, ignored;
    __get_cpuid(1, &eax, &ebx, &one, &edx);
    __get_cpuid_count(7, 0, &eax, &seven, &ignored, &edx);
    __get_cpuid(0x80000001, &eax, &ebx, &extended, &edx);
    if ((one & v2) != v2 || !(extended & lahf)) return 1;
    if ((one & v3) != v3 || (seven & v3_seven) != v3_seven || !(extended & lzcnt)) return 2;
    unsigned saved, high; /* registers saved by the operating system: xmm and ymm, then masks and zmm */
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & 0x06) != 0x06) return 2;
    return (seven & v4_seven) == v4_seven && (saved & 0xe6) == 0xe6 ? 4 : 3;
}
#else
extern gtcrn_kernel gtcrn_kernel_generic;
extern const gtcrn_sums gtcrn_kernel_generic_sums;
#endif

typedef struct {
    const char *name;
    gtcrn_kernel *kernel;
    const gtcrn_sums *sums;
} gtcrn_choice;

/* Writes the supported instruction sets, fastest first; returns their number. */
static int choices(gtcrn_choice found[3])
{
    int count = 0;
#ifdef GTCRN_LEVELS
    const int level = x86_level();
    if (level >= 4) found[count++] = (gtcrn_choice){"x86-64-v4", gtcrn_kernel_v4, &gtcrn_kernel_v4_sums};
    if (level >= 3) found[count++] = (gtcrn_choice){"x86-64-v3", gtcrn_kernel_v3, &gtcrn_kernel_v3_sums};
    if (level >= 2) found[count++] = (gtcrn_choice){"x86-64-v2", gtcrn_kernel_v2, &gtcrn_kernel_v2_sums};
#else
    found[count++] = (gtcrn_choice){"generic", gtcrn_kernel_generic, &gtcrn_kernel_generic_sums};
#endif
    return count;
}

const char *gtcrn_isa(int i)
{
    gtcrn_choice found[3];
    return i >= 0 && i < choices(found) ? found[i].name : NULL;
}

/* Writes the instruction set of this name (NULL: the fastest); returns whether this machine supports it. */
static int find(const char *isa, gtcrn_choice *choice)
{
    gtcrn_choice found[3];
    const int count = choices(found);
    for (int i = 0; i < count; i++)
        if (!isa || strcmp(isa, found[i].name) == 0) {
            *choice = found[i];
            return 1;
        }
    return 0;
}

gtcrn_kernel *gtcrn_find_kernel(const char *isa, const char **name)
{
    gtcrn_choice choice;
    if (!find(isa, &choice)) return NULL;
    *name = choice.name;
    return choice.kernel;
}

const gtcrn_sums *gtcrn_find_sums(const char *isa)
{
    gtcrn_choice choice;
    return find(isa, &choice) ? choice.sums : NULL;
}

int gtcrn_process(const gtcrn_model *model, const gtcrn_job *job)
{
    gtcrn_stream *stream = job->stream;
    if (!gtcrn_enter(stream)) return GTCRN_BUSY;
    const int fits = gtcrn_take_network(stream, model);
    if (fits) gtcrn_process_taken(model, job);
    gtcrn_leave(stream);
    return fits ? 0 : GTCRN_REFUSED;
}

void gtcrn_process_taken(const gtcrn_model *model, const gtcrn_job *job)
{
    job->stream->network = model->network;
#if defined(GTCRN_X86)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    model->kernel(model, job);
    _mm_setcsr(before);
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (uint64_t)1 << 24));
    model->kernel(model, job);
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    model->kernel(model, job);
#endif
}
