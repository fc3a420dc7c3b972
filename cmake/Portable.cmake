# Programs that need no library but glibc, to be carried to another machine: with DEJAVU_PORTABLE, every other library is
# linked from its archive.
option(DEJAVU_PORTABLE "Link everything but glibc statically, and strip the programs" OFF)
if(NOT DEJAVU_PORTABLE)
  macro(dejavu_find_archives)
  endmacro()
  macro(dejavu_use_archives)
  endmacro()
  return()
endif()

# The compiler adds -lgomp by itself and prefers the shared one in its folder; a folder that holds only the archive comes
# first.
set(archives ${PROJECT_BINARY_DIR}/archives)
file(MAKE_DIRECTORY ${archives})
foreach(library gomp gfortran quadmath)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=lib${library}.a
                  OUTPUT_VARIABLE archive OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(EXISTS ${archive})
    file(CREATE_LINK ${archive} ${archives}/lib${library}.a SYMBOLIC)
  endif()
endforeach()
add_link_options(-L${archives} -static-libgcc -static-libstdc++ -s)

# What is looked for between these two is found as an archive.
macro(dejavu_find_archives)
  set(dejavu_suffixes ${CMAKE_FIND_LIBRARY_SUFFIXES})
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
endmacro()
macro(dejavu_use_archives)
  set(CMAKE_FIND_LIBRARY_SUFFIXES ${dejavu_suffixes})
  # Packages whose CMake files name shared objects have their archives beside them.
  get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target ${imported})
    get_target_property(location ${target} IMPORTED_LOCATION_NONE)
    if(location MATCHES "\\.so[.0-9]*$")
      string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive ${location})
      if(EXISTS ${archive})
        set_target_properties(${target} PROPERTIES IMPORTED_LOCATION_NONE ${archive})
      endif()
    endif()
  endforeach()
endmacro()
