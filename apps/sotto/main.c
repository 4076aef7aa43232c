/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "command.h"

/* Whoever starts us with one of the first three descriptors closed must not find the profile's
 * database there. They are opened the wrong way round, so that using them fails as before: what
 * was printed into nowhere must not count as printed. */
static void fill_descriptors(void)
{
    static const int wrong[] = {O_WRONLY, O_RDONLY, O_RDONLY};

    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", wrong[fd]) != fd)
            _exit(SOTTO_RESULT_FAILED);
    }
}

int main(int argc, char **argv)
{
    fill_descriptors();
    sotto_secret_harden_process();
    (void)signal(SIGPIPE, SIG_IGN); /* a broken pipe is an error to be reported, not an end */
    (void)setlocale(LC_ALL, "");
    /* Messages are UTF-8 whatever the locale says; only with one do wide characters have a width.
     */
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    return (int)sotto_command_main(argc, argv);
}
