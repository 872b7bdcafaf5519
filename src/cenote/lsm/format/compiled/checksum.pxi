# CRC-32 (IEEE 802.3, reflected): by carry-less multiplication where the processor has it.
#
# Sixteen bytes are carried over those that follow by multiplying both halves with x^D mod P, D
# bits being the distance, until sixteen are left; those and what is behind them go through tables.

cdef extern from *:
    """
    static uint32_t kernel_crc_tables[8][256];
    static void kernel_crc_start(void) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t c = n;
            for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
            kernel_crc_tables[0][n] = c;
        }
        for (uint32_t n = 0; n < 256; n++)
            for (int k = 1; k < 8; k++) {
                uint32_t c = kernel_crc_tables[k - 1][n];
                kernel_crc_tables[k][n] = kernel_crc_tables[0][c & 0xFF] ^ (c >> 8);
            }
    }
    static uint32_t kernel_crc_plain(uint32_t c, const uint8_t *p, size_t n) {
        while (n >= 8) {
            uint32_t a = kernel_load32le(p) ^ c, b = kernel_load32le(p + 4);
            c = kernel_crc_tables[7][a & 0xFF] ^ kernel_crc_tables[6][a >> 8 & 0xFF]
              ^ kernel_crc_tables[5][a >> 16 & 0xFF] ^ kernel_crc_tables[4][a >> 24]
              ^ kernel_crc_tables[3][b & 0xFF] ^ kernel_crc_tables[2][b >> 8 & 0xFF]
              ^ kernel_crc_tables[1][b >> 16 & 0xFF] ^ kernel_crc_tables[0][b >> 24];
            p += 8; n -= 8;
        }
        while (n--) c = kernel_crc_tables[0][(c ^ *p++) & 0xFF] ^ (c >> 8);
        return c;
    }
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>
    #define KERNEL_FOLDS 1
    #define KERNEL_FOLD(x, k, y) _mm_xor_si128(_mm_xor_si128( \\
        _mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11)), y)
    #define KERNEL_LOAD(q) _mm_loadu_si128((const __m128i *)(q))
    __attribute__((target("pclmul,sse4.1")))
    static uint32_t kernel_crc_fold(uint32_t c, const uint8_t *p, size_t n) {
        const __m128i by64 = _mm_set_epi64x(0x1c6e41596LL, 0x154442bd4LL);
        const __m128i by16 = _mm_set_epi64x(0x0ccaa009eLL, 0x1751997d0LL);
        uint8_t last[16];
        __m128i a = _mm_xor_si128(KERNEL_LOAD(p), _mm_cvtsi32_si128((int)c));
        __m128i b = KERNEL_LOAD(p + 16), d = KERNEL_LOAD(p + 32), e = KERNEL_LOAD(p + 48);
        p += 64; n -= 64;
        while (n >= 64) {
            a = KERNEL_FOLD(a, by64, KERNEL_LOAD(p));
            b = KERNEL_FOLD(b, by64, KERNEL_LOAD(p + 16));
            d = KERNEL_FOLD(d, by64, KERNEL_LOAD(p + 32));
            e = KERNEL_FOLD(e, by64, KERNEL_LOAD(p + 48));
            p += 64; n -= 64;
        }
        b = KERNEL_FOLD(a, by16, b);
        d = KERNEL_FOLD(b, by16, d);
        e = KERNEL_FOLD(d, by16, e);
        while (n >= 16) { e = KERNEL_FOLD(e, by16, KERNEL_LOAD(p)); p += 16; n -= 16; }
        _mm_storeu_si128((__m128i *)last, e);
        return kernel_crc_plain(kernel_crc_plain(0, last, 16), p, n);
    }
    static int kernel_folds(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    }
    #else
    #define KERNEL_FOLDS 0
    #define kernel_crc_fold kernel_crc_plain
    static int kernel_folds(void) { return 0; }
    #endif
    static int kernel_crc_by_folding = 0;
    static uint32_t kernel_crc32(const uint8_t *p, size_t n) {
        uint32_t c = 0xFFFFFFFFu;
        if (kernel_crc_by_folding && n >= 128) return ~kernel_crc_fold(c, p, n);
        return ~kernel_crc_plain(c, p, n);
    }
    static void kernel_crc_choose(void) { kernel_crc_start(); kernel_crc_by_folding = kernel_folds(); }
    """
    uint32_t crc_of "kernel_crc32"(const uint8_t *p, size_t n) nogil
    void choose_crc "kernel_crc_choose"()

choose_crc()


cdef inline void store_crc(uint8_t *at, uint32_t crc) noexcept nogil:
    at[0] = <uint8_t>(crc >> 24)
    at[1] = <uint8_t>(crc >> 16)
    at[2] = <uint8_t>(crc >> 8)
    at[3] = <uint8_t>crc


cdef inline bint crc_matches(const uint8_t *section, size_t size) noexcept nogil:
    """Tell whether the last four bytes are the checksum of those before."""
    cdef const uint8_t *end = section + size - 4
    cdef uint32_t told = <uint32_t>end[0] << 24 | end[1] << 16 | end[2] << 8 | end[3]
    return crc_of(section, size - 4) == told


def crc32(data not None):
    """Return the CRC-32 of bytes, as `zlib.crc32` does."""
    cdef bytes held = data
    return crc_of(bytes_of(held), PyBytes_GET_SIZE(held))
