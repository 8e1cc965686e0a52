"""Words that nothing in exported C or C++ may be called: keywords, macros, and functions of the headers."""

# C with what C23 and GNU C add
_C = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while alignas alignof asm
bool constexpr false linux nullptr static_assert thread_local true typeof typeof_unqual unix
"""
# C++ up to C++26, its alternative operators, and words that it keeps for later
_CPP = """
and and_eq atomic_cancel atomic_commit atomic_noexcept bitand bitor catch char8_t char16_t char32_t class co_await
co_return co_yield compl concept consteval constinit const_cast contract_assert decltype delete dynamic_cast explicit
export friend import module mutable namespace new noexcept not not_eq operator or or_eq private protected public
reflexpr reinterpret_cast requires static_cast std synchronized template this throw try typeid typename using virtual
wchar_t xor xor_eq
"""
# Macros of <math.h>, <string.h> and compilers
_MACROS = """
NULL NAN INFINITY HUGE_VAL HUGE_VALF HUGE_VALL math_errhandling MATH_ERRNO MATH_ERREXCEPT FP_NAN FP_INFINITE FP_ZERO
FP_SUBNORMAL FP_NORMAL FP_ILOGB0 FP_ILOGBNAN FP_FAST_FMA FP_FAST_FMAF FP_FAST_FMAL M_E M_LOG2E M_LOG10E M_LN2 M_LN10
M_PI M_PI_2 M_PI_4 M_1_PI M_2_PI M_2_SQRTPI M_SQRT2 M_SQRT1_2 DOMAIN SING OVERFLOW UNDERFLOW PLOSS TLOSS i386 vax sun
hpux sgi
"""
# What the file itself calls or defines
_CALLED = "exp log1p sin tanh fabs isnan isfinite isinf isnormal signbit fpclassify strcmp silu softplus outputs main"

C_WORDS = frozenset(" ".join((_C, _CPP, _MACROS, _CALLED)).split())
