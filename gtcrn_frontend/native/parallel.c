/* Runs many streams on several threads. */
#include <stdatomic.h>

#include "model.h"

#ifdef _WIN32
#include <windows.h>
typedef HANDLE gtcrn_thread;
#define THREAD_FUNCTION DWORD WINAPI
#else
#include <pthread.h>
typedef pthread_t gtcrn_thread;
#define THREAD_FUNCTION void *
#endif

enum { MAX_THREADS = 64 };

/* A call: threads take streams one by one, so that a delayed thread processes fewer. */
typedef struct {
    const gtcrn_model *model;
    const gtcrn_job *jobs;     /* either these */
    const gtcrn_chunk *chunks; /* or these */
    size_t count;
    atomic_size_t next;
    atomic_int wrong; /* error of one of the skipped streams */
} gtcrn_call;

static void run(gtcrn_call *call)
{
    for (size_t i; (i = atomic_fetch_add_explicit(&call->next, 1, memory_order_relaxed)) < call->count;) {
        int wrong;
        if (call->jobs) {
            wrong = gtcrn_process(call->model, &call->jobs[i]);
        } else {
            const gtcrn_chunk *chunk = &call->chunks[i];
            wrong = gtcrn_advance(call->model, chunk->path, chunk->samples, chunk->count, chunk->output, chunk->due);
        }
        if (wrong) atomic_store_explicit(&call->wrong, wrong, memory_order_relaxed);
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
    while (started + 1 < wanted && started + 1 < call->count && start(&running[started], call)) started++;
    run(call);
    while (started) join(running[--started]);
    return atomic_load_explicit(&call->wrong, memory_order_relaxed);
}

int gtcrn_process_many(const gtcrn_model *model, const gtcrn_job *jobs, size_t count, int threads)
{
    return run_on(&(gtcrn_call){.model = model, .jobs = jobs, .count = count}, threads);
}

int gtcrn_advance_many(const gtcrn_model *model, const gtcrn_chunk *chunks, size_t count, int threads)
{
    return run_on(&(gtcrn_call){.model = model, .chunks = chunks, .count = count}, threads);
}
