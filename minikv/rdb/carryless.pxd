# Folding of a message for a reflected 64-bit CRC by carry-less multiplication, on x86-64 processors that can.
#
# A message is a polynomial, its first byte's lowest bit the highest power. While it is longer than a block, its first
# block A can be taken away by adding A * x^distance mod P to the block that is so many bits behind: the remainder stays
# the same. A block of 128 bits is two words, L x^64 + H, and `by` holds what they are multiplied with:
#
#     by[0] = x^(distance + 63) mod P      for L        one power less than one would expect, since the product of two
#     by[1] = x^(distance -  1) mod P      for H        reflected words comes out shifted by one
#
# Source: V. Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009.

from libc.stdint cimport uint8_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>

    static int minikv_fold_width(void) {
        __builtin_cpu_init();
        if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
            return 0;
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq") ? 512 : 128;
    }

    __attribute__((target("pclmul,sse4.1")))
    static inline __m128i minikv_fold_block(__m128i block, __m128i by, __m128i behind) {
        __m128i low = _mm_clmulepi64_si128(block, by, 0x00), high = _mm_clmulepi64_si128(block, by, 0x11);
        return _mm_xor_si128(_mm_xor_si128(low, high), behind);
    }

    __attribute__((target("pclmul,sse4.1")))
    static void minikv_fold_128(uint8_t *rest, uint64_t crc, const uint8_t *data, uint64_t length,
                                const uint64_t *by_128, const uint64_t *by_1024) {
        const __m128i *at = (const __m128i *)data, *end = at + length / 16;
        __m128i by = _mm_loadu_si128((const __m128i *)by_1024), blocks[8];
        int i;
        for (i = 0; i < 8; i++)
            blocks[i] = _mm_loadu_si128(at + i);
        blocks[0] = _mm_xor_si128(blocks[0], _mm_cvtsi64_si128((long long)crc));
        for (at += 8; end - at >= 8; at += 8)
            for (i = 0; i < 8; i++)
                blocks[i] = minikv_fold_block(blocks[i], by, _mm_loadu_si128(at + i));
        by = _mm_loadu_si128((const __m128i *)by_128);
        for (i = 1; i < 8; i++)
            blocks[0] = minikv_fold_block(blocks[0], by, blocks[i]);
        for (; at < end; at++)
            blocks[0] = minikv_fold_block(blocks[0], by, _mm_loadu_si128(at));
        _mm_storeu_si128((__m128i *)rest, blocks[0]);
    }

    __attribute__((target("avx512f,vpclmulqdq")))
    static inline __m512i minikv_fold_blocks(__m512i blocks, __m512i by, __m512i behind) {
        __m512i low = _mm512_clmulepi64_epi128(blocks, by, 0x00), high = _mm512_clmulepi64_epi128(blocks, by, 0x11);
        return _mm512_ternarylogic_epi64(low, high, behind, 0x96);  /* exclusive or of all three */
    }

    __attribute__((target("avx512f,vpclmulqdq")))
    static void minikv_fold_512(uint8_t *rest, uint64_t crc, const uint8_t *data, uint64_t length,
                                const uint64_t *by_4096) {
        const uint8_t *end = data + length;
        __m512i by = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)by_4096)), blocks[8];
        int i;
        for (i = 0; i < 8; i++)
            blocks[i] = _mm512_loadu_si512(data + 64 * i);
        blocks[0] = _mm512_xor_si512(blocks[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128((long long)crc)));
        for (data += 512; data < end; data += 512)
            for (i = 0; i < 8; i++)
                blocks[i] = minikv_fold_blocks(blocks[i], by, _mm512_loadu_si512(data + 64 * i));
        for (i = 0; i < 8; i++)
            _mm512_storeu_si512(rest + 64 * i, blocks[i]);
    }
    #else
    #define minikv_fold_width() 0
    #define minikv_fold_128(rest, crc, data, length, by_128, by_1024) ((void)0)
    #define minikv_fold_512(rest, crc, data, length, by_4096) ((void)0)
    #endif
    """
    # Bits that this processor can fold at once: 512, 128, or 0 for none.
    int fold_width "minikv_fold_width"() noexcept
    # To `rest`, 16 bytes that have the remainder of `crc` and then the data: a multiple of 16 bytes, 128 at least.
    void fold_128 "minikv_fold_128"(
        uint8_t *rest, uint64_t crc, const uint8_t *data, uint64_t length, const uint64_t *by_128, const uint64_t *by_1024
    ) noexcept
    # The same with a rest of 512 bytes, for a multiple of 512 bytes of data.
    void fold_512 "minikv_fold_512"(
        uint8_t *rest, uint64_t crc, const uint8_t *data, uint64_t length, const uint64_t *by_4096
    ) noexcept
