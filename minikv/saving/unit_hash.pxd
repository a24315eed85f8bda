# A keyed hash of 4 KiB, by which equal blocks of two files are found. It is universal: for any two different blocks, and
# whoever has chosen them, all but 2^-120 of the keys give different hashes.
#
# Two sums over pairs of words (NH of UMAC, with 64-bit words), the second one with the key moved on by a pair:
#
#     sum of (word[i] + key[i]) * (word[i + 1] + key[i + 1])  mod 2^128
#
# Each sum, cut into parts of 61, 61 and 6 bits, becomes a number by a linear function mod 2^61 - 1.
# Source: J. Black and others, "UMAC: Fast and Secure Message Authentication", Crypto 1999.

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    UNIT_SHIFT = 12
    UNIT_LEN = 4096
    HASH_KEY_WORDS = 522            # 514 for the sums, 3 for each of the two functions, 2 for sequences of hashes

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

    typedef unsigned __int128 minikv_u128;

    static inline uint64_t minikv_mod_61(minikv_u128 number) {
        const uint64_t p = ((uint64_t)1 << 61) - 1;
        number = (number & p) + (number >> 61);     /* below 2^68 */
        number = (number & p) + (number >> 61);
        return (uint64_t)number >= p ? (uint64_t)number - p : (uint64_t)number;
    }

    static inline uint64_t minikv_shorten(minikv_u128 sum, const uint64_t *key) {
        const uint64_t p = ((uint64_t)1 << 61) - 1;
        return minikv_mod_61((minikv_u128)minikv_mod_61((minikv_u128)((uint64_t)sum & p) * (key[0] & p)) +
                             minikv_mod_61((minikv_u128)((uint64_t)(sum >> 61) & p) * (key[1] & p)) +
                             minikv_mod_61((minikv_u128)(uint64_t)(sum >> 122) * (key[2] & p)));
    }

    static inline uint64_t minikv_add_mod_61(uint64_t sum, uint64_t key, uint64_t number) {
        const uint64_t p = ((uint64_t)1 << 61) - 1;
        return minikv_mod_61((minikv_u128)sum * (key & p) + number + 1);
    }

    static void minikv_unit_hash(const uint8_t *data, const uint64_t *key, uint64_t *hash) {
        minikv_u128 one = 0, two = 0;
        uint64_t words[2];
        int i;
        for (i = 0; i < 512; i += 2) {
            memcpy(words, data + 8 * i, 16);
            one += (minikv_u128)(words[0] + key[i]) * (words[1] + key[i + 1]);
            two += (minikv_u128)(words[0] + key[i + 2]) * (words[1] + key[i + 3]);
        }
        hash[0] = minikv_shorten(one, key + 514);
        hash[1] = minikv_shorten(two, key + 517);
    }
    """
    # A polynomial, of which this is the next number: for the hash of several units.
    uint64_t add_mod_61 "minikv_add_mod_61"(uint64_t sum, uint64_t key, uint64_t number) noexcept
    void unit_hash "minikv_unit_hash"(const uint8_t *data, const uint64_t *key, uint64_t *hash) noexcept
