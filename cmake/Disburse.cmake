# The build vocabulary of the house: flags, and one function for each kind of thing we build.

option(DISBURSE_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(DISBURSE_FUZZ "Build the libFuzzer targets of fuzz/, and nothing else is of use then (clang)" OFF)
option(DISBURSE_CRASH_POINTS "Compile the crash points in (never in a release)" OFF)
option(DISBURSE_FLAGS_ONLY "Look for no libraries: for cmake/probe, which needs none" OFF)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

if(NOT DISBURSE_FLAGS_ONLY)
  find_package(Threads REQUIRED)
  find_package(PkgConfig REQUIRED)
  foreach(pkg grpc gpr libprotobuf-c libpq openssl libmicrohttpd libcurl jansson inih libssh sqlite3 zlib cmocka)
    string(MAKE_C_IDENTIFIER ${pkg} id)
    pkg_check_modules(${id} REQUIRED IMPORTED_TARGET ${pkg})
  endforeach()
endif()

# Flags for everything, generated code included.
add_compile_definitions(_GNU_SOURCE)
add_compile_options(-fno-common -fstack-protector-strong -g)
if(DISBURSE_CRASH_POINTS)
  add_compile_definitions(DISBURSE_CRASH_POINTS=1)
endif()
if(DISBURSE_SANITIZE)
  add_compile_options(-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
if(DISBURSE_FUZZ)
  add_compile_options(-O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  set(CMAKE_C_FLAGS_RELEASE "-O2")
  # Asserts stay on in production: a broken invariant must stop the process, so no -DNDEBUG.
  add_compile_options(
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-clash-protection -fcf-protection=full
    -ftrivial-auto-var-init=zero -fno-delete-null-pointer-checks -fno-strict-overflow
    -fno-strict-aliasing)
  add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen,--as-needed)
endif()

# Flags for code that a person wrote.
set(DISBURSE_WARNINGS
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wswitch-enum -Wvla -Wformat=2 -Wimplicit-fallthrough -Wundef -Wbidi-chars=any -Wtrampolines
  -Werror -Werror=format-security)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  list(REMOVE_ITEM DISBURSE_WARNINGS -Wbidi-chars=any -Wtrampolines -Werror) # gcc judges; clang builds for the fuzzers
endif()

# disburse_library(target FOLDER dir [PURE] SOURCES a.c … [LINKS t …] [PRIVATE_LINKS t …])
#
# A room. Its headers are included as "<folder name>/<header>.h", and only by targets that link it: the include
# root is a folder in the build tree that holds one link, to this room. So the arrows of ARCHITECTURE.md are what compiles.
# PURE: no I/O, no clock, no lock of its own. It links base, and rooms that are pure themselves; the configuration fails otherwise.
function(disburse_library target)
  cmake_parse_arguments(ARG "PURE" "FOLDER" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  get_filename_component(folder "${ARG_FOLDER}" ABSOLUTE)
  get_filename_component(prefix "${folder}" NAME)
  set(root "${CMAKE_BINARY_DIR}/include/${target}")
  file(MAKE_DIRECTORY "${root}")
  file(CREATE_LINK "${folder}" "${root}/${prefix}" SYMBOLIC)
  list(TRANSFORM ARG_SOURCES PREPEND "${folder}/")
  add_library(${target} STATIC ${ARG_SOURCES})
  target_include_directories(${target} PUBLIC "${root}")
  target_compile_options(${target} PRIVATE ${DISBURSE_WARNINGS})
  target_link_libraries(${target} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS})
  if(ARG_PURE)
    foreach(link ${ARG_LINKS} ${ARG_PRIVATE_LINKS})
      get_property(pure GLOBAL PROPERTY DISBURSE_PURE_${link})
      if(NOT link STREQUAL "base" AND NOT pure)
        message(FATAL_ERROR "${target} is PURE: it must not link ${link}")
      endif()
    endforeach()
    set_property(GLOBAL PROPERTY DISBURSE_PURE_${target} TRUE)
  endif()
endfunction()

# disburse_never_links(target other …): the configuration fails when the target reaches one of the others through its LINKS, directly or by
# way of other rooms.
function(disburse_never_links target)
  set(seen "")
  set(open ${target})
  while(open)
    list(POP_FRONT open at)
    if(at IN_LIST seen OR NOT TARGET ${at})
      continue()
    endif()
    list(APPEND seen ${at})
    if(at IN_LIST ARGN)
      message(FATAL_ERROR "${target} reaches ${at} through its LINKS, and must not")
    endif()
    foreach(property LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
      get_target_property(more ${at} ${property})
      if(more)
        string(REGEX REPLACE "\\$<LINK_ONLY:([^>]*)>" "\\1" more "${more}")
        list(APPEND open ${more})
      endif()
    endforeach()
  endwhile()
endfunction()

# What runs: every program, without the unit tests. `./dev build release` builds this.
add_custom_target(programs)

# disburse_program(target SOURCES a.c … LINKS t …)
function(disburse_program target)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${target} ${ARG_SOURCES})
  target_compile_options(${target} PRIVATE ${DISBURSE_WARNINGS})
  target_link_libraries(${target} PRIVATE ${ARG_LINKS})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
  add_dependencies(programs ${target})
endfunction()

# disburse_unit_test(name SOURCES a_test.c … LINKS t …): a cmocka program, one process, one CTest entry.
function(disburse_unit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  # cmocka's macros cast integers freely.
  target_compile_options(${name} PRIVATE ${DISBURSE_WARNINGS} -Wno-conversion -Wno-sign-conversion)
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} PkgConfig::cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120)
endfunction()
