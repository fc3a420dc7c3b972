// DejaVu's runtime for C++17 and later: a header over the C API, which programs of any compiler and standard library
// can link. Errors are exceptions. Ownership and threads are as in dejavu.h.
#ifndef DEJAVU_RUNTIME_API_DEJAVU_HPP_
#define DEJAVU_RUNTIME_API_DEJAVU_HPP_

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/api/dejavu.h"

namespace dejavu::api {

/// What a failed call throws; what() is the message for people.
class Error : public std::runtime_error {
 public:
  explicit Error(dejavu_status status) : std::runtime_error(dejavu_last_error()), status_(status) {}
  [[nodiscard]] dejavu_status status() const { return status_; }

 private:
  dejavu_status status_;
};

inline void Check(dejavu_status status) {
  if (status != DEJAVU_OK) {
    throw Error(status);
  }
}

using GenerateOptions = dejavu_generate_options;
using ModelInfo = dejavu_model_info;

/// An open artifact. Movable; sessions outlive it safely.
class Model {
 public:
  explicit Model(const std::string& path, const std::string& device = "cpu") {
    dejavu_model* model = nullptr;
    Check(dejavu_model_open(path.c_str(), device.c_str(), &model));
    model_.reset(model);
  }

  [[nodiscard]] ModelInfo info() const { return dejavu_model_get_info(model_.get()); }

  /// The ids of a UTF-8 text; of a prompt, with the model's bos in front.
  [[nodiscard]] std::vector<int32_t> Encode(std::string_view text, bool as_prompt = true) const {
    int32_t* tokens = nullptr;
    size_t count = 0;
    Check(dejavu_encode(model_.get(), text.data(), text.size(), as_prompt ? 1 : 0, &tokens, &count));
    const std::unique_ptr<int32_t, void (*)(void*)> owner(tokens, dejavu_free);
    return std::vector<int32_t>(tokens, tokens + count);
  }

  [[nodiscard]] std::string Decode(const std::vector<int32_t>& tokens) const {
    char* text = nullptr;
    size_t length = 0;
    Check(dejavu_decode(model_.get(), tokens.data(), tokens.size(), &text, &length));
    const std::unique_ptr<char, void (*)(void*)> owner(text, dejavu_free);
    return std::string(text, length);
  }

 private:
  friend class Session;
  struct Close {
    void operator()(dejavu_model* model) const { dejavu_model_close(model); }
  };
  std::unique_ptr<dejavu_model, Close> model_;
};

/// One sequence of tokens.
class Session {
 public:
  explicit Session(const Model& model, int threads = 0) : vocab_(static_cast<size_t>(model.info().vocab)) {
    dejavu_session* session = nullptr;
    Check(dejavu_session_create(model.model_.get(), threads, &session));
    session_.reset(session);
  }

  /// Appends tokens and returns a copy of the logits that follow the last.
  std::vector<float> Prefill(const std::vector<int32_t>& tokens) {
    const float* logits = nullptr;
    Check(dejavu_session_prefill(session_.get(), tokens.data(), tokens.size(), &logits));
    return std::vector<float>(logits, logits + vocab_);
  }

  std::vector<float> Step(int32_t token) {
    const float* logits = nullptr;
    Check(dejavu_session_step(session_.get(), token, &logits));
    return std::vector<float>(logits, logits + vocab_);
  }

  void Reset() { dejavu_session_reset(session_.get()); }
  [[nodiscard]] int64_t position() const { return dejavu_session_position(session_.get()); }

  /// Appends the prompt and generates; `on_token`, if any, returns whether to go on and must not throw.
  std::vector<int32_t> Generate(const std::vector<int32_t>& prompt,
                                const GenerateOptions& options = dejavu_default_generate_options(),
                                const std::function<bool(int32_t)>& on_token = nullptr) {
    struct Sink {
      std::vector<int32_t> tokens;
      const std::function<bool(int32_t)>& on_token;
    };
    Sink sink{{}, on_token};
    const dejavu_token_callback callback = [](int32_t token, void* data) {
      auto* out = static_cast<Sink*>(data);
      out->tokens.push_back(token);
      return out->on_token && !out->on_token(token) ? 0 : 1;
    };
    Check(dejavu_generate(session_.get(), prompt.data(), prompt.size(), &options, callback, &sink, nullptr));
    return std::move(sink.tokens);
  }

 private:
  struct Destroy {
    void operator()(dejavu_session* session) const { dejavu_session_destroy(session); }
  };
  size_t vocab_;
  std::unique_ptr<dejavu_session, Destroy> session_;
};

}  // namespace dejavu::api

#endif  // DEJAVU_RUNTIME_API_DEJAVU_HPP_
