/* Runs one kernel on a machine that is emulated: loads a shared object, calls its symbol with arguments read from a
   file, and writes the arguments back as they are afterwards.
   usage: driver OBJECT SYMBOL THREADS AT_END ARGUMENTS
   ARGUMENTS: 9 int64 dims, int64 count; then for each argument int64 kind (0 absent, 1 buffer, 2 same as another) and
   size (for 2: the number of the other argument), and a buffer's bytes. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kMaxArguments = 16 };

typedef void (*Kernel)(void* const* args, const int64_t* dims, int32_t thread, int32_t threads);

static void Fail(const char* what) {
  fprintf(stderr, "driver: %s\n", what);
  exit(1);
}

static int64_t ReadInt(FILE* file) {
  int64_t value = 0;
  if (fread(&value, sizeof value, 1, file) != 1) {
    Fail("the arguments end too early");
  }
  return value;
}

/* A buffer whose start or end touches an unreadable page. */
static void* GuardedBuffer(int64_t size, int at_end) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t inner = (size + page - 1) / page * page;
  char* mapping = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED || (inner > 0 && mprotect(mapping + page, inner, PROT_READ | PROT_WRITE) != 0)) {
    Fail("no memory");
  }
  return mapping + page + (at_end ? inner - size : 0);
}

int main(int argc, char** argv) {
  if (argc != 6) {
    Fail("usage: driver OBJECT SYMBOL THREADS AT_END ARGUMENTS");
  }
  void* object = dlopen(argv[1], RTLD_NOW);
  Kernel kernel = object == NULL ? NULL : (Kernel)dlsym(object, argv[2]);
  if (kernel == NULL) {
    Fail(dlerror());
  }
  const int threads = atoi(argv[3]);
  FILE* file = fopen(argv[5], "r+b");
  if (file == NULL) {
    Fail("cannot open the arguments");
  }
  int64_t dims[9];
  for (int i = 0; i < 9; ++i) {
    dims[i] = ReadInt(file);
  }
  const int64_t count = ReadInt(file);
  void* args[kMaxArguments] = {NULL};
  int64_t sizes[kMaxArguments] = {0};
  long offsets[kMaxArguments] = {0};
  if (count > kMaxArguments) {
    Fail("too many arguments");
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t kind = ReadInt(file);
    const int64_t size = ReadInt(file);
    if (kind == 1) {
      args[i] = GuardedBuffer(size, atoi(argv[4]));
      sizes[i] = size;
      offsets[i] = ftell(file);
      if (fread(args[i], 1, size, file) != (size_t)size) {
        Fail("the arguments end too early");
      }
    } else if (kind == 2) {
      args[i] = args[size];
    }
  }
  for (int thread = threads - 1; thread >= 0; --thread) {
    kernel(args, dims, thread, threads);
  }
  for (int64_t i = 0; i < count; ++i) {
    if (sizes[i] > 0 &&
        (fseek(file, offsets[i], SEEK_SET) != 0 || fwrite(args[i], 1, sizes[i], file) != (size_t)sizes[i])) {
      Fail("cannot write the arguments back");
    }
  }
  return fclose(file) == 0 ? 0 : 1;
}
