"""Serve an exported graph over HTTP, without densevl and without torch: an image is posted, its label map comes back.

densevl export --model mini-maskclip --classes "grass, brick, yellow heart" --output labels --out garden.onnx
python demo/serve_graph.py garden.onnx --port 8000
curl --data-binary @demo/images/garden.png http://127.0.0.1:8000 --output labels.png
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer an image file with a PNG, whose values are indices of the sidecar's classes."""
        posted = self.rfile.read(int(self.headers["Content-Length"] or 0))
        image = cv2.imdecode(np.frombuffer(posted, np.uint8), cv2.IMREAD_COLOR_RGB) if posted else None
        if image is None:
            return self.send_error(400, "no image file")
        size, resize = image.shape[:2], self.server.sidecar["resize"]
        scale = min(resize["short_side"] / min(size), resize["long_side"] / max(size))
        height, width = (max(1, int(side * scale + 0.5)) for side in size)
        seen = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)[None]
        labels, _ = self.server.session.run(None, {"images": seen, "size": np.array(size)})
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        return self.wfile.write(cv2.imencode(".png", labels[0].astype(np.uint16))[1].tobytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph", type=Path, help="what `densevl export --output labels` wrote, with its .json beside")
    parser.add_argument("--port", type=int, default=8000, help="on this machine alone (default: %(default)s)")
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.session = onnxruntime.InferenceSession(options.graph, providers=["CPUExecutionProvider"])
    server.sidecar = json.loads(Path(f"{options.graph}.json").read_text(encoding="utf-8"))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
