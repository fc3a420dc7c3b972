// dejavu.h from C: compiled as C, this file proves that the header is.
#include <stdint.h>

#include "runtime/api/dejavu.h"

// Generates from one token; returns the number of new tokens, or minus the status of the call that failed.
int GenerateFromC(const char* artifact, int64_t max_new_tokens);

static int Count(int32_t token, void* user_data) {
  (void)token;
  ++*(int*)user_data;
  return 1;
}

int GenerateFromC(const char* artifact, int64_t max_new_tokens) {
  dejavu_model* model = 0;
  dejavu_session* session = 0;
  int count = 0;
  dejavu_status status = dejavu_model_open(artifact, "cpu", &model);
  if (status == DEJAVU_OK) {
    status = dejavu_session_create(model, 1, &session);
  }
  if (status == DEJAVU_OK) {
    const int32_t prompt[] = {2, 5};
    dejavu_generate_options options = dejavu_default_generate_options();
    options.max_new_tokens = max_new_tokens;
    status = dejavu_generate(session, prompt, 2, &options, Count, &count, 0);
  }
  dejavu_session_destroy(session);
  dejavu_model_close(model);
  return status == DEJAVU_OK ? count : -(int)status;
}
