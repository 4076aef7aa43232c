# SPDX-License-Identifier: Apache-2.0
# bash completion for sotto(1). The program itself knows its commands and options, so this only
# asks; contact names come from the running engine and never ask for a passphrase.
_sotto() {
    local words
    mapfile -t words < <("${COMP_WORDS[0]}" __complete -- "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null)
    if [[ ${words[0]} == //files ]]; then
        COMPREPLY=()
        compopt -o default
        return
    fi
    COMPREPLY=("${words[@]}")
}
complete -F _sotto sotto
