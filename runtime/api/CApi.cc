#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "ir/base/Status.h"
#include "runtime/api/dejavu.h"
#include "runtime/engine/Generator.h"
#include "runtime/engine/Model.h"
#include "runtime/engine/Session.h"
#include "runtime/text/Tokenizer.h"

struct dejavu_model {
  std::shared_ptr<const dejavu::Model> model;
  std::optional<dejavu::Tokenizer> tokenizer;
};

struct dejavu_session {
  std::unique_ptr<dejavu::Session> session;
};

namespace dejavu {
namespace {

std::string& LastError() {
  thread_local std::string message;
  return message;
}

dejavu_status Report(const absl::Status& status) {
  if (status.ok()) {
    return DEJAVU_OK;
  }
  LastError().assign(status.message().data(), status.message().size());
  return static_cast<dejavu_status>(ExitCode(status));
}

/// Runs `body`, which returns a status; turns it, and whatever it throws, into the C API's.
template <typename Body>
dejavu_status Guard(const Body& body) {
  try {
    return Report(body());
  } catch (const std::bad_alloc&) {
    return Report(UserError("not enough memory"));
  } catch (const std::exception& error) {
    return Report(BugError("uncaught exception: ", error.what()));
  }
}

template <typename... Pointers>
absl::Status RequireAll(const Pointers*... pointers) {
  return ((pointers != nullptr) && ...) ? absl::OkStatus() : UsageError("a required argument is a null pointer");
}

/// As RequireAll(), where an empty array may be null.
absl::Status RequireArray(const void* data, size_t count) {
  return data != nullptr || count == 0 ? absl::OkStatus() : UsageError("an array is a null pointer");
}

absl::Status RequireTokenizer(const dejavu_model& model) {
  return model.tokenizer.has_value() ? absl::OkStatus()
                                     : UserError(model.model->artifact().path(), ": has no tokenizer");
}

void* CopyToHeap(const void* data, size_t bytes) {
  // One byte more: never an empty allocation, and texts end in a zero.
  void* copy = std::malloc(bytes + 1);
  if (copy == nullptr) {
    throw std::bad_alloc();
  }
  std::memcpy(copy, data, bytes);
  static_cast<char*>(copy)[bytes] = '\0';
  return copy;
}

absl::Status OpenModel(const char* path, const char* device, dejavu_model** model) {
  RETURN_IF_ERROR(RequireAll(path, device, model));
  auto result = std::make_unique<dejavu_model>();
  ASSIGN_OR_RETURN(result->model, Model::Load(path, {.device = device}));
  const ArtifactReader& artifact = result->model->artifact();
  if (artifact.manifest().files.contains(std::string(kTokenizerFolder) + "/vocab.json")) {
    ASSIGN_OR_RETURN(result->tokenizer, Tokenizer::Load(artifact.FilePath(kTokenizerFolder)));
  }
  *model = result.release();
  return absl::OkStatus();
}

absl::Status EncodeText(const dejavu_model* model, std::string_view text, bool as_prompt, int32_t** tokens,
                        size_t* count) {
  RETURN_IF_ERROR(RequireTokenizer(*model));
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                   as_prompt ? model->tokenizer->EncodePrompt(text) : model->tokenizer->Encode(text));
  *tokens = static_cast<int32_t*>(CopyToHeap(ids.data(), ids.size() * sizeof(int32_t)));
  *count = ids.size();
  return absl::OkStatus();
}

GenerateOptions FromC(const dejavu_generate_options& options) {
  return {
      .max_new_tokens = options.max_new_tokens,
      .sampling = {
          .temperature = options.temperature, .top_k = options.top_k, .top_p = options.top_p, .seed = options.seed}};
}

}  // namespace
}  // namespace dejavu

using dejavu::Guard;
using dejavu::RequireAll;
using dejavu::RequireArray;

const char* dejavu_last_error(void) { return dejavu::LastError().c_str(); }

const char* dejavu_version(void) { return DEJAVU_VERSION; }

dejavu_status dejavu_model_open(const char* path, const char* device, dejavu_model** model) {
  return Guard([&] { return dejavu::OpenModel(path, device, model); });
}

void dejavu_model_close(dejavu_model* model) { delete model; }

dejavu_model_info dejavu_model_get_info(const dejavu_model* model) {
  const dejavu::ModelInfo& info = model->model->info();
  return {info.name.c_str(),
          info.layers,
          info.hidden,
          info.vocab,
          info.positions,
          static_cast<int32_t>(info.bos),
          static_cast<int32_t>(info.eos)};
}

dejavu_status dejavu_encode(const dejavu_model* model, const char* text, size_t length, int as_prompt, int32_t** tokens,
                            size_t* count) {
  return Guard([&]() -> absl::Status {
    RETURN_IF_ERROR(RequireAll(model, tokens, count));
    RETURN_IF_ERROR(RequireArray(text, length));
    return dejavu::EncodeText(model, {text, length}, as_prompt != 0, tokens, count);
  });
}

dejavu_status dejavu_decode(const dejavu_model* model, const int32_t* tokens, size_t count, char** text,
                            size_t* length) {
  return Guard([&]() -> absl::Status {
    RETURN_IF_ERROR(RequireAll(model, text, length));
    RETURN_IF_ERROR(RequireArray(tokens, count));
    RETURN_IF_ERROR(dejavu::RequireTokenizer(*model));
    const std::string bytes = model->tokenizer->Decode({tokens, count});
    *text = static_cast<char*>(dejavu::CopyToHeap(bytes.data(), bytes.size()));
    *length = bytes.size();
    return absl::OkStatus();
  });
}

void dejavu_free(void* memory) { std::free(memory); }

dejavu_status dejavu_session_create(const dejavu_model* model, int threads, dejavu_session** session) {
  return Guard([&]() -> absl::Status {
    RETURN_IF_ERROR(RequireAll(model, session));
    ASSIGN_OR_RETURN(std::unique_ptr<dejavu::Session> result,
                     dejavu::Session::Create(model->model, {.threads = threads}));
    *session = new dejavu_session{std::move(result)};
    return absl::OkStatus();
  });
}

void dejavu_session_destroy(dejavu_session* session) { delete session; }

dejavu_status dejavu_session_prefill(dejavu_session* session, const int32_t* tokens, size_t count,
                                     const float** logits) {
  return Guard([&]() -> absl::Status {
    RETURN_IF_ERROR(RequireAll(session, logits));
    RETURN_IF_ERROR(RequireArray(tokens, count));
    ASSIGN_OR_RETURN(const std::span<const float> result, session->session->Prefill({tokens, count}));
    *logits = result.data();
    return absl::OkStatus();
  });
}

dejavu_status dejavu_session_step(dejavu_session* session, int32_t token, const float** logits) {
  return Guard([&]() -> absl::Status {
    RETURN_IF_ERROR(RequireAll(session, logits));
    ASSIGN_OR_RETURN(const std::span<const float> result, session->session->Decode(token));
    *logits = result.data();
    return absl::OkStatus();
  });
}

void dejavu_session_reset(dejavu_session* session) { session->session->Reset(); }

int64_t dejavu_session_position(const dejavu_session* session) { return session->session->position(); }

dejavu_generate_options dejavu_default_generate_options(void) {
  const dejavu::GenerateOptions options;
  return {options.max_new_tokens, options.sampling.temperature, options.sampling.top_k, options.sampling.top_p,
          options.sampling.seed};
}

dejavu_status dejavu_generate(dejavu_session* session, const int32_t* prompt, size_t count,
                              const dejavu_generate_options* options, dejavu_token_callback callback, void* user_data,
                              dejavu_finish_reason* reason) {
  return Guard([&]() -> absl::Status {
    RETURN_IF_ERROR(RequireAll(session, options));
    RETURN_IF_ERROR(RequireArray(prompt, count));
    const dejavu::GenerateOptions wanted = dejavu::FromC(*options);
    RETURN_IF_ERROR(dejavu::ValidateGenerateOptions(wanted));
    ASSIGN_OR_RETURN(const std::span<const float> logits, session->session->Prefill({prompt, count}));
    ASSIGN_OR_RETURN(const dejavu::Generation generation,
                     dejavu::Generate(*session->session, logits, wanted, [&](int32_t token) {
                       return callback == nullptr || callback(token, user_data) != 0;
                     }));
    if (reason != nullptr) {
      *reason = static_cast<dejavu_finish_reason>(generation.finish_reason);
    }
    return absl::OkStatus();
  });
}
