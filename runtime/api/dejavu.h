/* DejaVu's runtime for C: opens an artifact, runs sessions on it, generates text.
 *
 * Every function that can fail returns a dejavu_status; dejavu_last_error() then says what went wrong and what to do.
 * A failed call sets no output and leaves its session as it was. Nothing is thrown, nothing exits.
 *
 * Threads: a dejavu_model may be used by any number of threads at once, a dejavu_session by one at a time. Ownership:
 * what a create or open function returns belongs to the caller, who gives it back to the close or destroy function of
 * the same type; null may be given back. Opening the first model limits OpenBLAS to one thread in the whole process,
 * as sessions bring their own threads (OpenMP).
 */
#ifndef DEJAVU_RUNTIME_API_DEJAVU_H_
#define DEJAVU_RUNTIME_API_DEJAVU_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DEJAVU_API __attribute__((visibility("default")))

/* The values are the exit codes of the tools. */
typedef enum dejavu_status {
  DEJAVU_OK = 0,
  DEJAVU_USER_ERROR = 1,  /* the artifact or the input is wrong, or memory ran out */
  DEJAVU_USAGE_ERROR = 2, /* an argument makes no sense, such as an unknown device or a null pointer */
  DEJAVU_BUG = 70         /* DejaVu's fault; please report it */
} dejavu_status;

/* The message of the last call on this thread that failed; empty before. Valid until the next call that fails on this
 * thread. */
DEJAVU_API const char* dejavu_last_error(void);

/* Such as "0.1.0". */
DEJAVU_API const char* dejavu_version(void);

/* ---- Models ---- */

typedef struct dejavu_model dejavu_model;

/* Opens the artifact in the folder `path`, checks it in full, hashes included, and loads its code. `device`: "cpu",
   "cuda" or "cuda:N". */
DEJAVU_API dejavu_status dejavu_model_open(const char* path, const char* device, dejavu_model** model);

/* Sessions of the model stay valid. */
DEJAVU_API void dejavu_model_close(dejavu_model* model);

/* Token ids are from 0 to vocab - 1; a sequence has at most `positions` tokens. */
typedef struct dejavu_model_info {
  const char* name; /* valid as long as the model */
  int64_t layers;
  int64_t hidden;
  int64_t vocab;
  int64_t positions;
  int32_t bos; /* opens a prompt */
  int32_t eos; /* ends a text */
} dejavu_model_info;

DEJAVU_API dejavu_model_info dejavu_model_get_info(const dejavu_model* model);

/* ---- Text; needs an artifact with a tokenizer ---- */

/* The ids of `length` bytes of UTF-8, opened by the model's bos if `as_prompt` is not 0. Free `*tokens` with
 * dejavu_free(). */
DEJAVU_API dejavu_status dejavu_encode(const dejavu_model* model, const char* text, size_t length, int as_prompt,
                                       int32_t** tokens, size_t* count);

/* The bytes of the tokens, followed by a zero that `*length` doesn't count. Free `*text` with dejavu_free(). */
DEJAVU_API dejavu_status dejavu_decode(const dejavu_model* model, const int32_t* tokens, size_t count, char** text,
                                       size_t* length);

DEJAVU_API void dejavu_free(void* memory);

/* ---- Sessions ---- */

typedef struct dejavu_session dejavu_session;

/* An empty sequence with a KV cache of its own. `threads`: 0 means one per physical core. */
DEJAVU_API dejavu_status dejavu_session_create(const dejavu_model* model, int threads, dejavu_session** session);

DEJAVU_API void dejavu_session_destroy(dejavu_session* session);

/* Appends `count` tokens at once and sets `*logits` to the `vocab` floats that follow the last; they belong to the
 * session and are valid until its next call. */
DEJAVU_API dejavu_status dejavu_session_prefill(dejavu_session* session, const int32_t* tokens, size_t count,
                                                const float** logits);

/* Appends one token by the decode kernels; otherwise as dejavu_session_prefill(). */
DEJAVU_API dejavu_status dejavu_session_step(dejavu_session* session, int32_t token, const float** logits);

/* Forgets all tokens. */
DEJAVU_API void dejavu_session_reset(dejavu_session* session);

/* Tokens so far. */
DEJAVU_API int64_t dejavu_session_position(const dejavu_session* session);

/* ---- Generation ---- */

typedef struct dejavu_generate_options {
  int64_t max_new_tokens;
  double temperature; /* 0 takes the likeliest token */
  int32_t top_k;      /* 0: all */
  double top_p;       /* 1: all */
  uint64_t seed;
} dejavu_generate_options;

/* 64 tokens, greedily. */
DEJAVU_API dejavu_generate_options dejavu_default_generate_options(void);

typedef enum dejavu_finish_reason {
  DEJAVU_FINISH_EOS = 0,       /* the model ended the text */
  DEJAVU_FINISH_LENGTH = 1,    /* max_new_tokens came */
  DEJAVU_FINISH_POSITIONS = 2, /* the model's positions are full */
  DEJAVU_FINISH_STOPPED = 3    /* the callback asked for it */
} dejavu_finish_reason;

/* Sees each new token, on the calling thread; returns 0 to stop. It must not use the session. */
typedef int (*dejavu_token_callback)(int32_t token, void* user_data);

/* Appends the prompt and generates. The token that ends the text is not reported. `reason` may be null. */
DEJAVU_API dejavu_status dejavu_generate(dejavu_session* session, const int32_t* prompt, size_t count,
                                         const dejavu_generate_options* options, dejavu_token_callback callback,
                                         void* user_data, dejavu_finish_reason* reason);

#ifdef __cplusplus
}
#endif

#endif /* DEJAVU_RUNTIME_API_DEJAVU_H_ */
