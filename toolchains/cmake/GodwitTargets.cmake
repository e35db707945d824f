# SPDX-License-Identifier: Apache-2.0
# The few kinds of targets that the tree is made of, and what each is compiled with.

set(_godwit_warnings -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
                     -Wnon-virtual-dtor -Wimplicit-fallthrough -Wno-missing-field-initializers)

if(GODWIT_SANITIZERS)
  add_compile_options(-fsanitize=${GODWIT_SANITIZERS} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${GODWIT_SANITIZERS})
  if(GODWIT_SANITIZERS MATCHES "undefined")
    # The check of virtual calls wants the type information that device code is built without.
    add_compile_options(-fno-sanitize-recover=undefined $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=vptr>)
  endif()
endif()
if(GODWIT_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# godwit_library(<target> <source>...): code for gateway, simulator and host.
function(godwit_library target)
  add_library(${target} STATIC ${ARGN})
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${_godwit_warnings})
endfunction()

# godwit_device_library(<target> <source>...): code that runs on devices too. No exceptions, no RTTI, no locks.
function(godwit_device_library target)
  godwit_library(${target} ${ARGN})
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti -fno-threadsafe-statics>
    -ffunction-sections -fdata-sections)
  set_property(GLOBAL APPEND PROPERTY GODWIT_DEVICE_LIBRARIES ${target})
endfunction()

# godwit_program(<target> <source>...)
function(godwit_program target)
  add_executable(${target} ${ARGN})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${_godwit_warnings})
endfunction()

# What runs without servers, and so with sanitizers in ./godwit test: tests labelled unit, power_loss and fuzz.
add_custom_target(unit_tests)

# godwit_test(<name> SOURCES <source>... LIBS <target>... [LABEL <label>] [TIMEOUT <seconds>] [SERIAL])
# A GoogleTest program, registered as one CTest test.
function(godwit_test name)
  cmake_parse_arguments(arg "SERIAL" "LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  godwit_program(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} godwit_test_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
  if(arg_LABEL MATCHES "^(unit|power_loss)$")
    add_dependencies(unit_tests ${name})
  endif()
  if(arg_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# godwit_fuzz(<name> SOURCE <file> LIBS <target>... [CORPUS <dir>])
# The file defines LLVMFuzzerTestOneInput. With GODWIT_FUZZ it is a libFuzzer program; otherwise, and as the test in
# either case, it replays the corpus and a fixed number of mutations of it (tests/fuzz/replay_main.cc).
function(godwit_fuzz name)
  cmake_parse_arguments(arg "" "SOURCE;CORPUS" "LIBS" ${ARGN})
  if(NOT arg_CORPUS)
    set(arg_CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  endif()
  if(GODWIT_FUZZ)
    godwit_program(${name} ${arg_SOURCE})
    target_link_libraries(${name} PRIVATE ${arg_LIBS} godwit_assert)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -max_total_time=10 -timeout=10 -rss_limit_mb=1024
             ${CMAKE_CURRENT_BINARY_DIR}/found-${name} ${arg_CORPUS})
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/found-${name})
  else()
    godwit_program(${name} ${arg_SOURCE} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    target_link_libraries(${name} PRIVATE ${arg_LIBS} godwit_assert)
    add_test(NAME ${name} COMMAND ${name} ${arg_CORPUS})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 120)
  add_dependencies(unit_tests ${name})
endfunction()
