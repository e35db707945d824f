#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: format.sh check|fix      (from the root): clang-format over every C++ file that is tracked or new
set -euo pipefail
mode=(--dry-run -Werror)
[[ $1 == fix ]] && mode=(-i)
git ls-files -z --cached --others --exclude-standard '*.h' '*.cc' | while IFS= read -r -d '' file; do
  [[ -f $file ]] && printf '%s\0' "$file"
done | xargs -0 --no-run-if-empty clang-format-19 "${mode[@]}"
