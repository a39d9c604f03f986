"""The plainest call that each runtime allows, nothing of bench in it: a peer of fidelity.py."""


def pytorch(path, threads, source):
    import importlib.util

    import torch

    torch.set_num_threads(threads)
    spec = importlib.util.spec_from_file_location("network", source + "/network.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.build()
    network.load_state_dict(torch.load(path, weights_only=True))
    network.float().eval()
    torch.set_grad_enabled(False)
    return torch.from_numpy, network


def torchscript(path, threads, source):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    module = torch.jit.load(path).float().eval()
    return torch.from_numpy, torch.jit.optimize_for_inference(torch.jit.freeze(module))


def onnx(path, threads, source):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return (lambda image: {name: image}), (lambda feed: session.run(None, feed))


def openvino(path, threads, source):
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(path + "/model.xml", "CPU", options)
    request = request.create_infer_request()

    def ready(image):
        request.set_input_tensor(openvino.Tensor(image))

    return ready, lambda _: request.infer()


def interpreter(made):
    made.allocate_tensors()
    index = made.get_input_details()[0]["index"]
    return (lambda image: made.set_tensor(index, image)), (lambda _: made.invoke())


def tflite(path, threads, source):
    from ai_edge_litert.interpreter import Interpreter

    return interpreter(Interpreter(path, num_threads=threads))


def tflite_runtime(path, threads, source):
    from tflite_runtime.interpreter import Interpreter

    return interpreter(Interpreter(path, num_threads=threads))


def loaded(name, path, threads, source):
    """`ready(image)` gives what `call` takes; the first is not timed."""
    return globals()[name.replace("-", "_")](path, int(threads), source)
