// The only file that knows Python. Kernels take plain pointers and sizes; see DESIGN in docs/.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

namespace nb = nanobind;

NB_MODULE(_native, module) {
  module.doc() = "unspool's compiled core";
  module.def("version", [] { return std::string(UNSPOOL_VERSION); },
             "Version of the package this core was compiled for.");
}
