/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BENCH_PRIMITIVES_H
#define SOTTO_BENCH_PRIMITIVES_H

/*
 * What the cryptography of one step costs at least: for each primitive the fastest way that the
 * libraries offer on this machine, called as directly as possible, in microseconds. Steps of the
 * protocol are held against sums of these.
 */
struct primitives {
    double x;       /* X25519 agreement */
    double g;       /* X25519 key pair, by a table for the base point */
    double sign;    /* Ed25519, 100 bytes */
    double verify;  /* Ed25519, 100 bytes */
    double h;       /* HMAC-SHA-256 of 32 bytes under a new key */
    double k32;     /* HKDF-SHA-256, 32-byte salt and input, 32 bytes out */
    double k44;     /* the same, 44 bytes out */
    double k64;     /* the same, 64 bytes out */
    double k96;     /* the same, 96 bytes out */
    double seal100; /* AES-256-GCM, new key, 100 bytes */
    double open100;
    double seal1k; /* 1,024 bytes */
    double open1k;
    double seal64k; /* 65,536 bytes */
    double open64k;
    double kem_gen; /* ML-KEM-1024 */
    double kem_encaps;
    double kem_decaps; /* with the expanded private key */
    double random16;   /* 16 bytes of a ChaCha20 key stream: the least a generator must do */
};

/* Measures all of them (about 10 seconds) and prints, with the cost of our own function beside
 * each. */
void primitives_measure(struct primitives *ret);

#endif
