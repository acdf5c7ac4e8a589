/* libcuda.so.1 for a machine without a GPU: enough of it for NVIDIA's libraries to be loaded and to plan.
 *
 * Every call succeeds and does nothing; a handle that is asked for is an address that nobody may look at. */

#define GIVES(name, type, value) \
    int name(type *out) {        \
        *out = (type)(value);    \
        return 0;                \
    }
#define DOES_NOTHING(name) \
    int name(void) { return 0; }
#define NOWHERE 0x1000

GIVES(cuDriverGetVersion, int, 13000)
GIVES(cuDeviceGetCount, int, 1)
GIVES(cuDeviceGet, int, 0)
GIVES(cuCtxGetCurrent, void *, NOWHERE)
GIVES(cuModuleLoadData, void *, NOWHERE)
GIVES(cuModuleGetFunction, void *, NOWHERE)
GIVES(cuLibraryLoadData, void *, NOWHERE)
GIVES(cuLibraryLoadFromFile, void *, NOWHERE)
GIVES(cuLibraryGetKernel, void *, NOWHERE)
GIVES(cuKernelGetFunction, void *, NOWHERE)
GIVES(cuKernelGetAttribute, int, 64)
GIVES(cuOccupancyMaxPotentialClusterSize, int, 8)

int cuGetErrorString(int error, const char **text) {
    *text = "no driver";
    return 0;
}

int cuGetErrorName(int error, const char **text) { return cuGetErrorString(error, text); }

DOES_NOTHING(cuCtxGetLimit)
DOES_NOTHING(cuCtxPopCurrent)
DOES_NOTHING(cuCtxPushCurrent)
DOES_NOTHING(cuKernelSetAttribute)
DOES_NOTHING(cuLaunchCooperativeKernel)
DOES_NOTHING(cuLaunchKernel)
DOES_NOTHING(cuLaunchKernelEx)
DOES_NOTHING(cuLibraryUnload)
DOES_NOTHING(cuLinkAddData)
DOES_NOTHING(cuLinkComplete)
DOES_NOTHING(cuLinkCreate)
DOES_NOTHING(cuLinkDestroy)
DOES_NOTHING(cuModuleUnload)
DOES_NOTHING(cuStreamGetCtx)
DOES_NOTHING(cuTensorMapEncodeIm2col)
DOES_NOTHING(cuTensorMapEncodeTiled)
