# SPDX-License-Identifier: Apache-2.0
# PICO_BOARD, a name of the pico-sdk, says which board and so which processor.
set(PICO_BOARD pico CACHE STRING "pico (RP2040) or pico2 (RP2350)")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PICO_BOARD)
if(PICO_BOARD STREQUAL "pico")
  set(GODWIT_PROCESSOR "-mcpu=cortex-m0plus")
elseif(PICO_BOARD STREQUAL "pico2")
  set(GODWIT_PROCESSOR "-mcpu=cortex-m33")
else()
  message(FATAL_ERROR "PICO_BOARD is ${PICO_BOARD}; this folder knows pico and pico2")
endif()
set(CMAKE_ASM_FLAGS_INIT "${GODWIT_PROCESSOR} -mthumb")  # the pico-sdk's start-up code
