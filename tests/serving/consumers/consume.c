/* Asks a SavedModel through TensorFlow's C library: no Python.

   consume FOLDER INPUT OUTPUT float|int32 FILE_IN FILE_OUT DIMENSION...
   INPUT and OUTPUT are names of operations with an index, such as name:0. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static void check(TF_Status *status) {
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s\n", TF_Message(status));
    exit(1);
  }
}

static TF_Output find(TF_Graph *graph, char *name) {
  char *colon = strrchr(name, ':');
  *colon = '\0';
  TF_Output found = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (found.oper == NULL) {
    fprintf(stderr, "no operation %s\n", name);
    exit(1);
  }
  return found;
}

int main(int count, char **arguments) {
  int64_t dims[8], size = 4;
  int rank = count - 7;
  for (int i = 0; i < rank; i++) size *= dims[i] = atoll(arguments[7 + i]);
  TF_DataType type = strcmp(arguments[4], "float") ? TF_INT32 : TF_FLOAT;

  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(
      options, NULL, arguments[1], tags, 1, graph, NULL, status);
  check(status);

  TF_Tensor *input = TF_AllocateTensor(type, dims, rank, size);
  FILE *file = fopen(arguments[5], "rb");
  if (!file || fread(TF_TensorData(input), 1, size, file) != (size_t)size) return 1;
  fclose(file);
  TF_Output from = find(graph, arguments[2]), to = find(graph, arguments[3]);
  TF_Tensor *output = NULL;
  TF_SessionRun(session, NULL, &from, &input, 1, &to, &output, 1, NULL, 0, NULL, status);
  check(status);

  file = fopen(arguments[6], "wb");
  fwrite(TF_TensorData(output), 1, TF_TensorByteSize(output), file);
  fclose(file);
  for (int i = 0; i < TF_NumDims(output); i++) printf("%lld ", (long long)TF_Dim(output, i));
  return 0;
}
