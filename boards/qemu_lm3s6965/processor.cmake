# SPDX-License-Identifier: Apache-2.0
set(GODWIT_PROCESSOR "-mcpu=cortex-m3")
