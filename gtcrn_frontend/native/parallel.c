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

/* A call: threads take items one by one, so that a delayed thread processes fewer. */
typedef struct {
    const gtcrn_model *model;
    const gtcrn_job *jobs; /* either these, each an item, */
    gtcrn_chunk *chunks;   /* or these, of which each channel is one */
    size_t channels;       /* most channels of a chunk; 1 for jobs */
    size_t items;
    atomic_size_t next;
    atomic_int wrong; /* error of one of the skipped streams */
} gtcrn_call;

/* Ends the call of one enhancer. */
static void finish(gtcrn_enhancer *enhancer)
{
    gtcrn_show(enhancer);
    gtcrn_give_back(enhancer);
}

static void run(gtcrn_call *call)
{
    for (size_t i; (i = atomic_fetch_add_explicit(&call->next, 1, memory_order_relaxed)) < call->items;) {
        if (call->jobs) {
            const int wrong = gtcrn_process(call->model, &call->jobs[i]);
            if (wrong) atomic_store_explicit(&call->wrong, wrong, memory_order_relaxed);
            continue;
        }
        const gtcrn_chunk *chunk = &call->chunks[i / call->channels];
        const uint32_t channel = (uint32_t)(i % call->channels);
        if (channel >= chunk->enhancer->paths) continue;
        const gtcrn_outputs outputs = {.mixed = chunk->output};
        gtcrn_push_channel(chunk->enhancer, channel, chunk->input, chunk->frames,
                           gtcrn_sink_of(chunk->enhancer, &outputs, channel));
        if (chunk->enhancer->paths == 1) finish(chunk->enhancer); /* while it is in the cache */
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
    return run_on(&(gtcrn_call){.model = model, .jobs = jobs, .channels = 1, .items = count}, threads);
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

/* Takes the enhancer of a chunk and sets its room to what is due; returns 0, or why not. */
static int begin(gtcrn_chunk *chunk)
{
    gtcrn_enhancer *e = chunk->enhancer;
    if (!gtcrn_take(e)) return GTCRN_BUSY;
    const size_t due = (size_t)gtcrn_enhancer_due(e, chunk->frames);
    int wrong = 0;
    if (chunk->room < due)
        wrong = GTCRN_ROOM;
    else if (!gtcrn_are_valid(chunk->input, chunk->frames * e->settings.channels))
        wrong = GTCRN_REFUSED;
    else
        chunk->room = due;
    if (wrong) gtcrn_give_back(e);
    return wrong;
}

int gtcrn_push_many(gtcrn_chunk *chunks, size_t count, int threads)
{
    gtcrn_call call = {.chunks = chunks, .channels = 1};
    size_t taken = 0;
    double hops = 0;
    int wrong = 0;
    while (taken < count && !(wrong = begin(&chunks[taken]))) {
        const gtcrn_enhancer *e = chunks[taken].enhancer;
        hops += (double)chunks[taken].frames * e->paths * MODEL_RATE / HOP / e->settings.sample_rate;
        if (e->paths > call.channels) call.channels = e->paths;
        taken++;
    }
    if (!wrong) {
        call.items = count * call.channels;
        if (threads > hops / HOPS_PER_THREAD) threads = (int)(hops / HOPS_PER_THREAD);
        run_on(&call, threads);
    }
    for (size_t i = 0; wrong && i < taken; i++) gtcrn_give_back(chunks[i].enhancer);
    for (size_t i = 0; !wrong && call.channels > 1 && i < count; i++)
        if (chunks[i].enhancer->paths > 1) finish(chunks[i].enhancer);
    return wrong;
}
