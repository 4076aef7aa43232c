/* SPDX-License-Identifier: Apache-2.0 */
#include "passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ask.h"
#include "base/secret.h"

enum { TRIES = 3, WORDS = 6, WORD_LETTERS = 5 };

static const char no_way[] =
    "a passphrase is needed and there is no terminal to ask for it; give --passphrase-file FILE or "
    "set SOTTO_PASSPHRASE";

void sotto_passphrase_forget(struct sotto_cli *cli)
{
    sotto_secret_free(cli->passphrase);
    cli->passphrase = NULL;
}

static enum sotto_result keep(struct sotto_cli *cli, const char *text, size_t len)
{
    sotto_passphrase_forget(cli);
    if (len == 0 || len > SOTTO_PASSPHRASE_MAX) {
        sotto_out_error("the passphrase is %s", len == 0 ? "empty" : "longer than 1024 bytes");
        return SOTTO_RESULT_PROFILE;
    }
    cli->passphrase = sotto_secret_alloc(len + 1);
    if (cli->passphrase == NULL) {
        sotto_out_error("out of memory for the passphrase");
        return SOTTO_RESULT_FAILED;
    }
    memcpy(cli->passphrase, text, len);
    return SOTTO_RESULT_OK;
}

/* Up to room bytes of the file; stops after the first line. -1 with errno. */
static ssize_t read_first_line(int fd, char *text, size_t room)
{
    size_t n = 0;

    while (n < room) {
        ssize_t m = read(fd, text + n, room - n);
        void *end;

        if (m < 0 && errno == EINTR)
            continue;
        if (m < 0)
            return -1;
        end = memchr(text + n, '\n', (size_t)m);
        if (end != NULL)
            return (char *)end - text;
        if (m == 0)
            break;
        n += (size_t)m;
    }
    return (ssize_t)n;
}

static enum sotto_result from_file(struct sotto_cli *cli, const char *path)
{
    char text[SOTTO_PASSPHRASE_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum sotto_result result;
    struct stat st;
    ssize_t n;

    n = fd < 0 ? -1 : read_first_line(fd, text, sizeof text);
    if (n < 0) {
        sotto_out_error("cannot read the passphrase file %s: %s", path, strerror(errno));
        result = SOTTO_RESULT_PROFILE;
    } else if (memchr(text, 0, (size_t)n) != NULL) {
        sotto_out_error("the passphrase file %s is not a text", path);
        result = SOTTO_RESULT_PROFILE;
    } else {
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
            sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE, "warning: others can read %s; chmod 600 it",
                      path);
        result = keep(cli, text, (size_t)n);
    }
    sotto_wipe(text, sizeof text);
    if (fd >= 0)
        (void)close(fd);
    return result;
}

enum sotto_result sotto_passphrase_given(struct sotto_cli *cli)
{
    char *env = getenv("SOTTO_PASSPHRASE");
    enum sotto_result result = SOTTO_RESULT_OK;

    if (cli->passphrase_file != NULL)
        result = from_file(cli, cli->passphrase_file);
    else if (env != NULL)
        result = keep(cli, env, strlen(env));
    if (env != NULL) {
        sotto_wipe(env, strlen(env)); /* the memory that /proc/PID/environ shows */
        (void)unsetenv("SOTTO_PASSPHRASE");
    }
    return result;
}

enum sotto_result sotto_passphrase_ask(struct sotto_cli *cli)
{
    char text[SOTTO_PASSPHRASE_MAX + 1];
    enum sotto_result result;

    if (!sotto_ask_possible()) {
        sotto_out_error("%s", no_way);
        return SOTTO_RESULT_PROFILE;
    }
    if (!sotto_ask_secret("Passphrase: ", text, sizeof text)) {
        sotto_out_error("no passphrase was given");
        return SOTTO_RESULT_PROFILE;
    }
    result = keep(cli, text, strlen(text));
    cli->prompted = result == SOTTO_RESULT_OK;
    sotto_wipe(text, sizeof text);
    return result;
}

bool sotto_passphrase_make_up(const struct sotto_env *env, char ret[SOTTO_PASSPHRASE_MADE_UP])
{
    /* Each word is consonant, vowel, consonant, vowel, consonant: 4+2+4+2+4 bits. The letters are
     * chosen so that they are not mistaken for each other when read aloud. */
    static const char consonants[] = "bdfghjklmnprstvz", vowels[] = "aiou";
    uint8_t random[WORDS * 2];
    char *p = ret;

    _Static_assert(SOTTO_PASSPHRASE_MADE_UP == WORDS * (WORD_LETTERS + 1), "room for all words");
    if (sotto_random(env, random, sizeof random) != SOTTO_OK)
        return false;
    for (size_t i = 0; i < WORDS; i++) {
        unsigned bits = (unsigned)random[2 * i] << 8 | random[2 * i + 1];

        *p++ = consonants[bits >> 12];
        *p++ = vowels[bits >> 10 & 3];
        *p++ = consonants[bits >> 6 & 15];
        *p++ = vowels[bits >> 4 & 3];
        *p++ = consonants[bits & 15];
        *p++ = i + 1 < WORDS ? '-' : 0;
    }
    sotto_wipe(random, sizeof random);
    return true;
}

/* Shows a made-up passphrase and has it typed, so that it exists outside this screen. */
static enum sotto_result take_made_up(struct sotto_cli *cli)
{
    char text[SOTTO_PASSPHRASE_MADE_UP], typed[SOTTO_PASSPHRASE_MAX + 1];
    enum sotto_result result = SOTTO_RESULT_PROFILE;

    if (!sotto_passphrase_make_up(sotto_env_system(), text)) {
        sotto_out_error("the system's random generator failed, so nothing was made");
        return SOTTO_RESULT_FAILED;
    }
    sotto_ask_say(
        "\n    %s\n\nSix made-up words, 96 random bits: nobody guesses that. Write it down; "
        "without it\nnobody, not even the relay, can open this profile.",
        text);
    for (int i = 0; i < TRIES && result != SOTTO_RESULT_OK; i++) {
        if (!sotto_ask_secret("Type it once to go on: ", typed, sizeof typed))
            break;
        if (strcmp(text, typed) == 0)
            result = keep(cli, text, strlen(text));
        else
            sotto_ask_say("That was something else.");
    }
    sotto_wipe(text, sizeof text);
    sotto_wipe(typed, sizeof typed);
    if (result != SOTTO_RESULT_OK)
        sotto_out_error("no passphrase was chosen; nothing was made");
    return result;
}

enum sotto_result sotto_passphrase_ask_new(struct sotto_cli *cli)
{
    char first[SOTTO_PASSPHRASE_MAX + 1], second[SOTTO_PASSPHRASE_MAX + 1];
    enum sotto_result result = SOTTO_RESULT_PROFILE;
    bool made_up = false, ended = false;

    if (!sotto_ask_possible()) {
        sotto_out_error("%s", no_way);
        return SOTTO_RESULT_PROFILE;
    }
    for (int i = 0; i < TRIES && result != SOTTO_RESULT_OK && !made_up && !ended; i++) {
        ended = !sotto_ask_secret("New passphrase (Enter alone: have one made up): ", first,
                                  sizeof first);
        if (ended)
            break;
        made_up = first[0] == 0;
        if (made_up)
            break;
        ended = !sotto_ask_secret("The same once more: ", second, sizeof second);
        if (!ended && strcmp(first, second) == 0)
            result = keep(cli, first, strlen(first));
        else if (!ended)
            sotto_ask_say("The two differ.");
    }
    sotto_wipe(first, sizeof first);
    sotto_wipe(second, sizeof second);
    if (made_up)
        return take_made_up(cli);
    if (result != SOTTO_RESULT_OK)
        sotto_out_error("no passphrase was chosen; nothing was made");
    return result;
}
