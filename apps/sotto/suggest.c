/* SPDX-License-Identifier: Apache-2.0 */
#include "suggest.h"

#include <string.h>

enum { WORD_MAX = 63 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t sotto_suggest_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    /* Three rows of the table are enough: a swap looks two rows back. */
    size_t rows[3][WORD_MAX + 1];
    size_t *two_back = rows[0], *back = rows[1], *row = rows[2];

    if (n > WORD_MAX || m > WORD_MAX)
        return n > m ? n : m;
    for (size_t j = 0; j <= m; j++)
        back[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *spare = two_back;

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t wrong = back[j - 1] + (a[i - 1] != b[j - 1]);

            row[j] = least(least(back[j] + 1, row[j - 1] + 1), wrong);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_back[j - 2] + 1);
        }
        two_back = back;
        back = row;
        row = spare;
    }
    return back[m];
}

const char *sotto_suggest(const char *typed, const char *const *words)
{
    /* A third of the letters may be wrong; "x" is near to nothing. */
    size_t limit = (strlen(typed) + 1) / 3, best = limit + 1;
    const char *found = NULL;

    for (; *words != NULL; words++) {
        size_t d = sotto_suggest_distance(typed, *words);

        if (d < best) {
            best = d;
            found = *words;
        }
    }
    return found;
}
