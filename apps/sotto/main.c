/* SPDX-License-Identifier: Apache-2.0 */
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "base/secret.h"
#include "command.h"

int main(int argc, char **argv)
{
    sotto_secret_harden_process();
    (void)signal(SIGPIPE, SIG_IGN); /* a broken pipe is an error to be reported, not an end */
    (void)setlocale(LC_ALL, "");
    /* Messages are UTF-8 whatever the locale says; only with one do wide characters have a width.
     */
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    return (int)sotto_command_main(argc, argv);
}
