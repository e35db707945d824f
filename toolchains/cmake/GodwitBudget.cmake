# SPDX-License-Identifier: Apache-2.0
# godwit_budget(): after each link of firmware.elf, what it takes of flash and RAM against
# toolchains/budgets/<image>.json. Above a limit the build fails.
function(godwit_budget)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  set(image ${GODWIT_BOARD})
  if(PICO_BOARD)
    set(image ${PICO_BOARD})
  elseif(GODWIT_TLS STREQUAL "1.2")
    string(APPEND image _tls12)
  endif()
  set(budgets ${CMAKE_SOURCE_DIR}/toolchains/budgets)
  add_custom_command(TARGET firmware.elf POST_BUILD
    COMMAND ${Python3_EXECUTABLE} -B ${budgets}/image_size.py ${CMAKE_BINARY_DIR}/firmware.map
            --elf $<TARGET_FILE:firmware.elf> --nm ${CMAKE_NM} --budget ${budgets}/${image}.json
            --json ${CMAKE_BINARY_DIR}/firmware_size.json
    VERBATIM)
endfunction()
