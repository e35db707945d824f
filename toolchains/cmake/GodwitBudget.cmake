# SPDX-License-Identifier: Apache-2.0
# godwit_budget(): after each link of firmware.elf, what it takes of flash and RAM against
# toolchains/budgets/<image>.json. Above a limit the build fails; with another compiler than the one that the limits
# were set with (Debian 12's) it warns, for each makes code of another size.
function(godwit_budget)
  set(reference 12.2)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  set(image ${GODWIT_BOARD})
  if(PICO_BOARD)
    set(image ${PICO_BOARD})
  elseif(GODWIT_TLS STREQUAL "1.2")
    string(APPEND image _tls12)
  endif()
  set(only_warn "")
  if(NOT CMAKE_CXX_COMPILER_VERSION MATCHES "^${reference}([.]|$)")
    set(only_warn --only-warn "the limits are for arm-none-eabi-gcc ${reference}, \
this is ${CMAKE_CXX_COMPILER_VERSION}")
  endif()
  set(budgets ${CMAKE_SOURCE_DIR}/toolchains/budgets)
  add_custom_command(TARGET firmware.elf POST_BUILD
    COMMAND ${Python3_EXECUTABLE} -B ${budgets}/image_size.py ${CMAKE_BINARY_DIR}/firmware.map
            --elf $<TARGET_FILE:firmware.elf> --nm ${CMAKE_NM} --budget ${budgets}/${image}.json
            ${only_warn} --json ${CMAKE_BINARY_DIR}/firmware_size.json
    VERBATIM)
endfunction()
