"""Event files as other programs write them, through TensorBoard's own writer."""

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write_events(folder, points, texts=None, tensors=False):
    """Write `points`, (tag, step, value) in order, and `texts` by tag; with `tensors` as newer programs write scalars."""
    writer = EventFileWriter(str(folder))
    for tag, text in (texts or {}).items():
        value = TensorProto(
            dtype=DT_STRING,
            string_val=[text.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        writer.add_event(Event(summary=Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=value)])))
    for tag, step, number in points:
        if tensors:
            tensor = TensorProto(dtype=DT_FLOAT, tensor_content=np.float32(number).tobytes())
            value = Summary.Value(tag=tag, tensor=tensor)
        else:
            value = Summary.Value(tag=tag, simple_value=number)
        writer.add_event(Event(step=int(step), wall_time=1e9 + step, summary=Summary(value=[value])))
    writer.close()
    return next(folder.glob("events.out.tfevents.*"))


def table(arguments):
    """Arguments as CleanRL writes them."""
    return "|param|value|\n|-|-|\n" + "\n".join(f"|{name}|{value}|" for name, value in arguments.items())
