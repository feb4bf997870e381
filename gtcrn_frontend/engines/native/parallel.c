/* Many streams on several threads. */
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

/* The jobs of one thread: every step-th from the first on. */
typedef struct {
    const gtcrn_model *model;
    const gtcrn_job *jobs;
    size_t first, count, step;
} gtcrn_share;

static void run(const gtcrn_share *share)
{
    for (size_t i = share->first; i < share->count; i += share->step) gtcrn_process(share->model, &share->jobs[i]);
}

static THREAD_FUNCTION run_thread(void *share)
{
    run(share);
    return 0;
}

static int start(gtcrn_thread *thread, gtcrn_share *share)
{
#ifdef _WIN32
    return (*thread = CreateThread(NULL, 0, run_thread, share, 0, NULL)) != NULL;
#else
    return pthread_create(thread, NULL, run_thread, share) == 0;
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

void gtcrn_process_many(const gtcrn_model *model, const gtcrn_job *jobs, size_t count, int threads)
{
    const size_t wanted = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : (size_t)threads;
    const size_t step = wanted < count ? wanted : count;
    gtcrn_share shares[MAX_THREADS];
    gtcrn_thread running[MAX_THREADS];
    int started[MAX_THREADS];
    for (size_t i = 1; i < step; i++) {
        shares[i] = (gtcrn_share){model, jobs, i, count, step};
        started[i] = start(&running[i], &shares[i]);
    }
    if (step) run(&(gtcrn_share){model, jobs, 0, count, step});
    for (size_t i = 1; i < step; i++) {
        if (started[i])
            join(running[i]);
        else
            run(&shares[i]);
    }
}
