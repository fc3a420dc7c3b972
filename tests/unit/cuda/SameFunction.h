// Compares our declaration of a library's function with the toolkit's.
#ifndef DEJAVU_TESTS_UNIT_CUDA_SAMEFUNCTION_H_
#define DEJAVU_TESTS_UNIT_CUDA_SAMEFUNCTION_H_

#include <type_traits>

namespace dejavu::cuda {

/// Types that are passed alike: pointers, or numbers of one size.
template <typename A, typename B>
constexpr bool kSameArgument =
    std::is_pointer_v<A> == std::is_pointer_v<B> && sizeof(A) == sizeof(B) && std::is_class_v<A> == std::is_class_v<B>;

/// Whether calls of one function may be made through a pointer to the other.
template <typename Ours, typename Theirs>
struct SameFunction : std::false_type {};
template <typename R, typename... A, typename S, typename... B>
  requires(sizeof...(A) == sizeof...(B))
struct SameFunction<R (*)(A...), S (*)(B...)>
    : std::bool_constant<sizeof(R) == sizeof(S) && (kSameArgument<A, B> && ...)> {};

}  // namespace dejavu::cuda

#endif  // DEJAVU_TESTS_UNIT_CUDA_SAMEFUNCTION_H_
