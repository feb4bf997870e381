/* The resampling filters that the enhancers of a model share. */
#include <stdlib.h>

#include "model.h"

static void free_filter(gtcrn_shared_filter *shared)
{
    gtcrn_filter_free(shared->filter);
    free(shared);
}

/* Designing a filter takes up to milliseconds, so it is done outside of these two. */
static void take_filters(gtcrn_model *model)
{
    while (atomic_flag_test_and_set_explicit(&model->filters_taken, memory_order_acquire)) {
    }
}

static void leave_filters(gtcrn_model *model)
{
    atomic_flag_clear_explicit(&model->filters_taken, memory_order_release);
}

/* Returns a filter that is there, one user more, or NULL. */
static gtcrn_shared_filter *find_filter(gtcrn_model *model, uint32_t rate_in, uint32_t rate_out)
{
    gtcrn_shared_filter *found = model->filters;
    while (found && (found->rate_in != rate_in || found->rate_out != rate_out)) found = found->next;
    if (found) atomic_fetch_add_explicit(&found->users, 1, memory_order_relaxed);
    return found;
}

/* Takes unused filters out of the list, but for the first few, which may be needed again; returns them. */
static gtcrn_shared_filter *unused_filters(gtcrn_model *model)
{
    enum { KEPT = 8 };
    gtcrn_shared_filter *unused = NULL;
    int kept = 0;
    for (gtcrn_shared_filter **place = &model->filters, *shared; (shared = *place);) {
        if (atomic_load_explicit(&shared->users, memory_order_acquire) || kept++ < KEPT) {
            place = &shared->next;
        } else {
            *place = shared->next;
            shared->next = unused;
            unused = shared;
        }
    }
    return unused;
}

gtcrn_shared_filter *gtcrn_share_filter(gtcrn_model *model, uint32_t rate_in, uint32_t rate_out)
{
    take_filters(model);
    gtcrn_shared_filter *shared = find_filter(model, rate_in, rate_out);
    leave_filters(model);
    if (shared) return shared;
    gtcrn_shared_filter *made = calloc(1, sizeof *made), *unused;
    if (!made) return NULL;
    made->filter = gtcrn_filter_new(rate_in, rate_out, model->isa);
    if (!made->filter) return free(made), NULL;
    made->rate_in = rate_in, made->rate_out = rate_out;
    take_filters(model);
    shared = find_filter(model, rate_in, rate_out); /* another thread may have made it */
    if (!shared) {
        atomic_init(&made->users, 1);
        made->next = model->filters;
        model->filters = shared = made;
        made = NULL;
    }
    unused = unused_filters(model);
    leave_filters(model);
    if (made) free_filter(made);
    for (gtcrn_shared_filter *next; unused; unused = next) {
        next = unused->next;
        free_filter(unused);
    }
    return shared;
}

void gtcrn_release_filter(gtcrn_shared_filter *shared)
{
    if (shared) atomic_fetch_sub_explicit(&shared->users, 1, memory_order_release);
}

void gtcrn_free_filters(gtcrn_model *model)
{
    for (gtcrn_shared_filter *shared = model->filters, *next; shared; shared = next) {
        next = shared->next;
        free_filter(shared);
    }
}
