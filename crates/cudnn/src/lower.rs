//! From an [`OperationGraph`] to cuDNN's descriptors of it.

use std::collections::HashMap;

use ocelli_cudnn_sys::{self as sys, Functions};

use crate::descriptor::Descriptor;
use crate::handle::Target;
use crate::pointwise::Operands;
use crate::{
    Constant, ConvolutionSpec, DataType, Error, Operation, OperationGraph, PointwiseMode,
    PointwiseParameters, ReductionMode, Result, TensorSpec,
};

/// A finalised operation graph, with all it refers to.
#[derive(Debug)]
pub(crate) struct LoweredGraph {
    pub(crate) graph: Descriptor,
    /// cuDNN does not say which descriptors it copies, so that all live as long as the graph.
    _parts: Vec<Descriptor>,
}

impl LoweredGraph {
    pub(crate) fn new(
        functions: &'static Functions,
        target: &Target,
        source: &OperationGraph,
    ) -> Result<LoweredGraph> {
        let mut lowering = Lowering { functions, tensors: HashMap::new(), parts: Vec::new() };
        for spec in source.tensors()? {
            let tensor = lowering.tensor(spec)?;
            lowering.tensors.insert(spec.uid, tensor);
        }
        let operations = source
            .operations
            .iter()
            .map(|operation| {
                lowering.operation(operation).map_err(|error| match error {
                    Error::Cudnn { call, status, name, reason } => {
                        Error::Cudnn { call: format!("{call} for {operation}"), status, name, reason }
                    }
                    other => other,
                })
            })
            .collect::<Result<Vec<_>>>()?;

        let mut graph =
            Descriptor::new(functions, sys::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "operation graph")?;
        graph.set_descriptors(sys::CUDNN_ATTR_OPERATIONGRAPH_OPS, &operations.iter().collect::<Vec<_>>())?;
        target.set_graph_handle(&mut graph)?;
        graph.finalize()?;
        let mut parts = lowering.parts;
        parts.extend(operations);
        parts.extend(lowering.tensors.into_values());
        Ok(LoweredGraph { graph, _parts: parts })
    }
}

struct Lowering {
    functions: &'static Functions,
    tensors: HashMap<i64, Descriptor>,
    /// Descriptors of modes, to which operations refer.
    parts: Vec<Descriptor>,
}

impl Lowering {
    fn tensor(&self, spec: &TensorSpec) -> Result<Descriptor> {
        let mut tensor = Descriptor::new(self.functions, sys::CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor")?;
        tensor
            .set(sys::CUDNN_ATTR_TENSOR_UNIQUE_ID, &[spec.uid])?
            .set_type(sys::CUDNN_ATTR_TENSOR_DATA_TYPE, spec.data_type)?
            .set(sys::CUDNN_ATTR_TENSOR_DIMENSIONS, &spec.dims)?
            .set(sys::CUDNN_ATTR_TENSOR_STRIDES, &spec.strides)?
            .set(sys::CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[spec.alignment])?
            .set_bool(sys::CUDNN_ATTR_TENSOR_IS_VIRTUAL, spec.virtual_)?
            .finalize()?;
        Ok(tensor)
    }

    /// A finalised operation: its mode's descriptor under `mode`'s attribute, its tensors under theirs.
    fn finished(
        &self,
        mut operation: Descriptor,
        tensors: &[(sys::BackendAttributeName, &TensorSpec)],
    ) -> Result<Descriptor> {
        for (attribute, spec) in tensors {
            // Every tensor of the graph was lowered before its operations.
            if let Some(tensor) = self.tensors.get(&spec.uid) {
                operation.set_descriptor(*attribute, tensor)?;
            }
        }
        operation.finalize()?;
        Ok(operation)
    }

    fn operation(&mut self, operation: &Operation) -> Result<Descriptor> {
        match operation {
            Operation::ConvolutionForward { x, w, y, spec } => self.convolution(
                sys::CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                operation.name(),
                spec,
                [
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                ],
                &[
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x),
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w),
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y),
                ],
            ),
            Operation::ConvolutionBackwardData { dy, w, dx, spec } => self.convolution(
                sys::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                operation.name(),
                spec,
                [
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                ],
                &[
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, dy),
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, w),
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, dx),
                ],
            ),
            Operation::ConvolutionBackwardFilter { x, dy, dw, spec } => self.convolution(
                sys::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                operation.name(),
                spec,
                [
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                    sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                ],
                &[
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x),
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, dy),
                    (sys::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, dw),
                ],
            ),
            Operation::Pointwise { mode, x, b, y, parameters, compute } => {
                self.pointwise(operation, *mode, (x, b.as_ref(), y), parameters, *compute)
            }
            Operation::Reduction { mode, x, y, compute } => {
                let mut reduction =
                    Descriptor::new(self.functions, sys::CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "reduction")?;
                reduction
                    .set_enum(
                        sys::CUDNN_ATTR_REDUCTION_OPERATOR,
                        sys::CUDNN_TYPE_REDUCTION_OPERATOR_TYPE,
                        match mode {
                            ReductionMode::Sum => sys::CUDNN_REDUCE_TENSOR_ADD,
                            ReductionMode::Mean => sys::CUDNN_REDUCE_TENSOR_AVG,
                            ReductionMode::Max => sys::CUDNN_REDUCE_TENSOR_MAX,
                            ReductionMode::Min => sys::CUDNN_REDUCE_TENSOR_MIN,
                        },
                    )?
                    .set_type(sys::CUDNN_ATTR_REDUCTION_COMP_TYPE, *compute)?
                    .finalize()?;
                let mut descriptor =
                    self.descriptor(sys::CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, operation.name())?;
                descriptor.set_descriptor(sys::CUDNN_ATTR_OPERATION_REDUCTION_DESC, &reduction)?;
                self.parts.push(reduction);
                self.finished(
                    descriptor,
                    &[
                        (sys::CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x),
                        (sys::CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y),
                    ],
                )
            }
            Operation::Matmul { a, b, c, compute } => {
                let mut matmul = self.descriptor(sys::CUDNN_BACKEND_MATMUL_DESCRIPTOR, "matmul")?;
                matmul.set_type(sys::CUDNN_ATTR_MATMUL_COMP_TYPE, *compute)?.finalize()?;
                let mut descriptor =
                    self.descriptor(sys::CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, operation.name())?;
                descriptor.set_descriptor(sys::CUDNN_ATTR_OPERATION_MATMUL_DESC, &matmul)?;
                self.parts.push(matmul);
                self.finished(
                    descriptor,
                    &[
                        (sys::CUDNN_ATTR_OPERATION_MATMUL_ADESC, a),
                        (sys::CUDNN_ATTR_OPERATION_MATMUL_BDESC, b),
                        (sys::CUDNN_ATTR_OPERATION_MATMUL_CDESC, c),
                    ],
                )
            }
            Operation::GenStats { x, sum, sqsum, compute } => {
                let mut descriptor =
                    self.descriptor(sys::CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR, operation.name())?;
                descriptor
                    .set_enum(
                        sys::CUDNN_ATTR_OPERATION_GENSTATS_MODE,
                        sys::CUDNN_TYPE_GENSTATS_MODE,
                        sys::CUDNN_GENSTATS_SUM_SQSUM,
                    )?
                    .set_type(sys::CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, *compute)?;
                self.finished(
                    descriptor,
                    &[
                        (sys::CUDNN_ATTR_OPERATION_GENSTATS_XDESC, x),
                        (sys::CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum),
                        (sys::CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, sqsum),
                    ],
                )
            }
            Operation::BatchNormBackwardWeights {
                x,
                dy,
                mean,
                inv_std,
                scale,
                dscale,
                dbias,
                eq_dy_scale,
                eq_x_scale,
                eq_bias,
                compute,
            } => {
                let mut descriptor = self
                    .descriptor(sys::CUDNN_BACKEND_OPERATION_BN_BWD_WEIGHTS_DESCRIPTOR, operation.name())?;
                descriptor.set_type(sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MATH_PREC, *compute)?;
                self.finished(
                    descriptor,
                    &[
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC, x),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC, dy),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC, mean),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC, inv_std),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC, scale),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, dscale),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC, dbias),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC, eq_dy_scale),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, eq_x_scale),
                        (sys::CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS, eq_bias),
                    ],
                )
            }
        }
    }

    fn descriptor(&self, kind: sys::BackendDescriptorType, what: &'static str) -> Result<Descriptor> {
        Descriptor::new(self.functions, kind, what)
    }

    /// `attributes` are those of the convolution's descriptor, alpha and beta.
    fn convolution(
        &mut self,
        kind: sys::BackendDescriptorType,
        what: &'static str,
        spec: &ConvolutionSpec,
        [convolution_attribute, alpha, beta]: [sys::BackendAttributeName; 3],
        tensors: &[(sys::BackendAttributeName, &TensorSpec)],
    ) -> Result<Descriptor> {
        let mut convolution = self.descriptor(sys::CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution")?;
        convolution
            .set_type(sys::CUDNN_ATTR_CONVOLUTION_COMP_TYPE, spec.compute)?
            .set_enum(
                sys::CUDNN_ATTR_CONVOLUTION_CONV_MODE,
                sys::CUDNN_TYPE_CONVOLUTION_MODE,
                sys::CUDNN_CROSS_CORRELATION,
            )?
            .set(sys::CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &[2i64])?
            .set(sys::CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, &spec.padding)?
            .set(sys::CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, &spec.padding)?
            .set(sys::CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, &spec.stride)?
            .set(sys::CUDNN_ATTR_CONVOLUTION_DILATIONS, &spec.dilation)?
            .finalize()?;
        let mut descriptor = self.descriptor(kind, what)?;
        descriptor.set_descriptor(convolution_attribute, &convolution)?;
        if spec.compute == DataType::F64 {
            descriptor.set(alpha, &[1f64])?.set(beta, &[0f64])?;
        } else {
            descriptor.set(alpha, &[1f32])?.set(beta, &[0f32])?;
        }
        self.parts.push(convolution);
        self.finished(descriptor, tensors)
    }

    fn pointwise(
        &mut self,
        operation: &Operation,
        mode: PointwiseMode,
        (x, b, y): (&TensorSpec, Option<&TensorSpec>, &TensorSpec),
        parameters: &PointwiseParameters,
        compute: DataType,
    ) -> Result<Descriptor> {
        let mut pointwise = self.descriptor(sys::CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "pointwise mode")?;
        pointwise
            .set_enum(sys::CUDNN_ATTR_POINTWISE_MODE, sys::CUDNN_TYPE_POINTWISE_MODE, mode.raw())?
            .set_type(sys::CUDNN_ATTR_POINTWISE_MATH_PREC, compute)?;
        for (attribute, value) in [
            (sys::CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, parameters.relu_slope),
            (sys::CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, parameters.relu_upper_clip),
            (sys::CUDNN_ATTR_POINTWISE_ELU_ALPHA, parameters.elu_alpha),
            (sys::CUDNN_ATTR_POINTWISE_SWISH_BETA, parameters.swish_beta),
            (sys::CUDNN_ATTR_POINTWISE_SOFTPLUS_BETA, parameters.softplus_beta),
        ] {
            if let Some(Constant(value)) = value {
                pointwise.set(attribute, &[f64::from(value)])?;
            }
        }
        pointwise.finalize()?;
        let mut descriptor =
            self.descriptor(sys::CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, operation.name())?;
        descriptor.set_descriptor(sys::CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, &pointwise)?;
        self.parts.push(pointwise);

        let mut tensors = vec![(sys::CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)];
        match (mode.operands(), b) {
            (Operands::One, None) => tensors.push((sys::CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)),
            (Operands::Two, Some(b)) => tensors.extend([
                (sys::CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b),
                (sys::CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y),
            ]),
            (Operands::Gradient, Some(dy)) => tensors.extend([
                (sys::CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, dy),
                (sys::CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, y),
            ]),
            (operands, _) => {
                let needed = if operands == Operands::One {
                    "takes no second operand"
                } else {
                    "needs a second operand"
                };
                return Err(Error::InvalidGraph { operation: operation.to_string(), problem: needed.into() });
            }
        }
        self.finished(descriptor, &tensors)
    }
}
