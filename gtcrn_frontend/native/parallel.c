/* Runs many streams on several threads. */
#include "enhancer.h"

#ifdef _WIN32
#include <windows.h>
typedef HANDLE gtcrn_thread;
#define THREAD_FUNCTION DWORD WINAPI
#else
#include <pthread.h>
typedef pthread_t gtcrn_thread;
#define THREAD_FUNCTION void *
#endif

enum {
    MAX_THREADS = 64,
    HOPS_PER_THREAD = 16, /* with fewer, waking a thread costs more than a second core gains */
};

/* A call: threads take items one by one, so that a delayed thread processes fewer. An item is a job, a chunk, or a
 * channel of the only chunk. */
typedef struct {
    const gtcrn_model *model;
    const gtcrn_job *jobs;
    gtcrn_chunk *chunks, *only;
    size_t items;
    atomic_size_t next;
    atomic_int wrong; /* error of one of the skipped streams */
} gtcrn_call;

static void push_channel(const gtcrn_chunk *chunk, uint32_t channel)
{
    const gtcrn_outputs outputs = {.mixed = chunk->output};
    gtcrn_push_channel(chunk->enhancer, channel, chunk->input, chunk->frames,
                       gtcrn_sink_of(chunk->enhancer, &outputs, channel));
}

/* Asks the memory for what an enhancer needs first. */
static void ask_for(const gtcrn_enhancer *enhancer)
{
    for (size_t i = 0; i < offsetof(gtcrn_enhancer, channels) + 128; i += 64)
        __builtin_prefetch((const char *)enhancer + i, 1);
}

static void run(gtcrn_call *call)
{
    for (size_t i; (i = atomic_fetch_add_explicit(&call->next, 1, memory_order_relaxed)) < call->items;) {
        int64_t told = 0;
        if (call->only) {
            push_channel(call->only, (uint32_t)i);
        } else if (call->jobs) {
            told = gtcrn_process(call->model, &call->jobs[i]);
        } else {
            gtcrn_chunk *chunk = &call->chunks[i];
            if (i + 1 < call->items) ask_for(chunk[1].enhancer);
            told = gtcrn_enhancer_push(chunk->enhancer, chunk->input, chunk->frames, chunk->output, chunk->room);
            chunk->room = told < 0 ? 0 : (size_t)told;
        }
        if (told < 0) atomic_store_explicit(&call->wrong, (int)told, memory_order_relaxed);
    }
}

static THREAD_FUNCTION run_thread(void *call)
{
    run(call);
    return 0;
}

static int start(gtcrn_thread *thread, gtcrn_call *call)
{
#ifdef _WIN32
    return (*thread = CreateThread(NULL, 0, run_thread, call, 0, NULL)) != NULL;
#else
    return pthread_create(thread, NULL, run_thread, call) == 0;
#endif
}

static void join(gtcrn_thread thread)
{
#ifdef _WIN32
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
#else
    pthread_join(thread, NULL);
#endif
}

/* Runs a call on the caller's thread and up to `threads` - 1 others, as far as they can be started; returns
 * the error of a skipped stream, or 0. */
static int run_on(gtcrn_call *call, int threads)
{
    const size_t wanted = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : (size_t)threads;
    gtcrn_thread running[MAX_THREADS];
    size_t started = 0;
    while (started + 1 < wanted && started + 1 < call->items && start(&running[started], call)) started++;
    run(call);
    while (started) join(running[--started]);
    return atomic_load_explicit(&call->wrong, memory_order_relaxed);
}

int gtcrn_process_many(const gtcrn_model *model, const gtcrn_job *jobs, size_t count, int threads)
{
    return run_on(&(gtcrn_call){.model = model, .jobs = jobs, .items = count}, threads);
}

size_t gtcrn_set_room(gtcrn_chunk *chunks, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        chunks[i].room = (size_t)gtcrn_enhancer_due(chunks[i].enhancer, chunks[i].frames);
        sum += chunks[i].room * chunks[i].enhancer->paths;
    }
    return sum;
}

/* The channels of one stream on several threads. */
static int push_channels(gtcrn_chunk *chunk, int threads)
{
    gtcrn_enhancer *e = chunk->enhancer;
    if (!gtcrn_take(e)) return GTCRN_BUSY;
    const int wrong = gtcrn_check_push(e, chunk->input, chunk->frames, chunk->room);
    if (!wrong) {
        chunk->room = (size_t)gtcrn_enhancer_due(e, chunk->frames);
        run_on(&(gtcrn_call){.only = chunk, .items = e->paths}, threads);
        gtcrn_show(e);
    }
    gtcrn_give_back(e);
    return wrong;
}

int gtcrn_push_many(gtcrn_chunk *chunks, size_t count, int threads)
{
    double hops = 0; /* of all channels */
    for (size_t i = 0; threads > 1 && i < count; i++) {
        const gtcrn_enhancer *e = chunks[i].enhancer;
        hops += (double)chunks[i].frames * e->paths * MODEL_RATE / HOP / e->settings.sample_rate;
    }
    if (threads > hops / HOPS_PER_THREAD) threads = (int)(hops / HOPS_PER_THREAD);
    if (count == 1 && threads > 1 && chunks->enhancer->paths > 1) return push_channels(chunks, threads);
    return run_on(&(gtcrn_call){.chunks = chunks, .items = count}, threads);
}
